"""Interfaces to the operating system: hardware, temperature, signals, stderr and the terminal."""
