"""An installed system as a tree: finding its root, joining its mounts, and the engines that serve it."""
