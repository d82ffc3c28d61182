"""The HTTP door: the wire's requests as resources, events as server-sent events, pages and their files.

A request over HTTP becomes a frame and takes the frames' way: the same table judges it, the same router
routes it, the same errors answer it.
"""
