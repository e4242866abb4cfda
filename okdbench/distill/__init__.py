"""Building blocks of a method: losses, networks, optimisers, the adversarial base class and replay memories."""

import atexit
import gc

# torch and timm make a million objects that live as long as the process. Looking for garbage among them takes a fifth
# of the time of their import, where this module is the first to import them, as in the commands. Frozen, they are not
# looked at in later collections; at the end they are collected as usual, because some libraries report what is left.
_collecting = gc.isenabled()
gc.disable()
try:
    import timm as timm
finally:
    gc.freeze()
    atexit.register(gc.unfreeze)
    if _collecting:
        gc.enable()
