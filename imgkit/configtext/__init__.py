"""Configuration text: splices, kernel arguments, shell words, the serial console. Text in, text out."""
