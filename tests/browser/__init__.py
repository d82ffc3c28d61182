"""A package, unlike the other folders: the browser's fixtures end with it."""
