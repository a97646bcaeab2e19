"""The Wyoming protocol of Home Assistant: events over TCP, on a port of its own."""
