"""The endpoint groups: each method describes one call and passes it to the sender."""
