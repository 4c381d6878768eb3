"""The connect flow: from a button in a web service to a working connection."""
