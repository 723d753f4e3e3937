"""Ceph's messenger protocol v2.1 without sockets: bytes in, events and bytes out.

wire.py       what one socket drives: `Wire.client`, `Wire.server`
session.py    what survives the socket: sequence numbers, queues, cookies, reaction to a fault
registry.py   sessions by peer address; who wins when two peers connect to each other
auth.py       what a connection asks of authentication
events.py     what `Wire.next_event` hands out

handshake*.py, states.py, payloads.py, frames.py, frame_reader.py and crypto.py are the inside of
`Wire`.
"""
