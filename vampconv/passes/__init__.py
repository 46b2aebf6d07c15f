"""What is done to a graph between the frontend and the file."""
