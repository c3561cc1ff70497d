"""The command line: parse, one call into the library, render. Exit codes live here alone."""
