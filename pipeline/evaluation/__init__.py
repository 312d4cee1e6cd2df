"""Compare readings of the regions and levels, in numbers."""
