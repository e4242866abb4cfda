"""Building blocks of a method: losses, networks, optimisers, the adversarial base class and replay memories."""

import atexit
import gc

# torch and timm make two million objects that live as long as the process. Looking for garbage among them takes a fifth
# of the time of their import, and as much again in each full collection later.
_collecting = gc.isenabled()
gc.disable()
try:
    import timm as timm
finally:
    gc.freeze()
    atexit.register(gc.unfreeze)
    if _collecting:
        gc.enable()
