"""How far a score would move if training were repeated: seed variance, what it is made of, what it can tell apart."""
