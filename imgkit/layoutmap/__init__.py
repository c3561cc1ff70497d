"""What lies where in an image: one model for the report's drawings and for `imgkit inspect --map`. It draws nothing."""
