"""Before a run, and apart from it: what to start from, what is wrong with a choice, which learning rate.

``advise``, ``preflight``, ``find_lr`` and ``inspect`` each have a file of that name. The command line and
the callback's ``find_lr`` import this room, and nothing else does. Sizes and rates come from ``rules.forecast``.
"""
