"""The endpoint groups: each method describes one call and hands it on."""
