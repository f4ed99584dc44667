"""Whether this process is about to end. Set once, by a signal; whoever works long asks between two pieces of work."""

import threading

ending = threading.Event()
