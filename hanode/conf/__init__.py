"""hanode.conf: the operator's file, its options, and what the rest of hanode is built from."""
