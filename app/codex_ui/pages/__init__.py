"""The pages, one file each: a module with `PAGE = Page(...)`."""
