"""The power devices of the hosts: who has which (config), and how each is spoken to (ipmi, redfish)."""
