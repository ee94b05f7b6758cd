"""Results on disk, checked as a set, taken apart and judged; what is left is carried to a child batch."""
