"""Ringback: telephones a new lead seconds after the CRM creates it, and tells the CRM so."""

__version__ = "0.1.0"
