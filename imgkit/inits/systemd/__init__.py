"""systemd: getty units, and the generator that starts them."""
