"""The doors that the outside knocks on: webhooks and health. Nothing here can reach a dialer."""

from integration.web.app import WebServices, create_app

__all__ = ["WebServices", "create_app"]
