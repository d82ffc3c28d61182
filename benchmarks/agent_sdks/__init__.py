"""How many turns of a conversation does an embedded Sojourn keep, against the stores of agent SDKs?"""
