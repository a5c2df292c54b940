"""What it takes to run the deployment: for those who operate it, and no part of the function."""
