"""Registration of one pair by gradient descent on its own velocity."""
