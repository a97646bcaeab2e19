"""What the machine gives: processors, memory, descriptors and temporary files."""
