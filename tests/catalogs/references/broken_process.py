"""Stands for a drawing process that breaks."""

import os
import signal

os.kill(os.getpid(), signal.SIGSEGV)
