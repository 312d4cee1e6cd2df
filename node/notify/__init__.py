"""Notifications: who is told of results and failures besides the PACS."""
