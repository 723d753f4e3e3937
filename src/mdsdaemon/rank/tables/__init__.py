"""What a rank keeps in objects of its own beside the tree: numbers, sessions, snapshots, purges."""
