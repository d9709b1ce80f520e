"""The one Spin of a client process: client.py starts it, and those who know how have their socket read by it."""

from liqshell.live.spin import Spin

SPIN = Spin()
