"""What servers of each name were seen to say, as recorded, and what must come of it.

Each row is what a server of that name was seen to send: status, headers, and the bytes of a body or
of server-sent events. The right column is the result, or the class and words of the error; a call
that is final takes one request.
"""
