"""The messenger on Trio: the only package that opens network sockets.

messenger.py         one endpoint: listeners, connections, policies, dispatchers
connection.py        one peer, over any number of sockets; loopback.py: ourselves
acceptor.py          a socket that a peer opened, until a connection takes it over
link.py              one socket: its wire, its reader and writer
dispatcher.py        who receives messages and hears of connections
policy.py            what a broken socket means, by type of peer
throttle.py, budget.py, handshake_gate.py   what peers may occupy
stream.py, socket_transport.py, memory_network.py, bind.py   what carries the bytes
"""
