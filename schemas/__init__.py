"""What a valid file looks like: readers, column names and contracts that judge text."""
