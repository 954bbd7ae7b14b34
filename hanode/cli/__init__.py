"""hanode.cli: what an operator types. One file per noun."""
