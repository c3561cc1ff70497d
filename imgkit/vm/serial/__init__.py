"""The serial line of a running machine, and who sits at it.

line        what comes over it, waiting for text, typing
transcript  what came, searched while it grows
lasting     the line of a machine by name, over its reboots
attach      a terminal or a pipe at it: terminal, guard, keys, outlet
dialogue    a script at it
"""
