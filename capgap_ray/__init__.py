"""capgap-ray: does chain-of-thought distillation help this student, and from which teacher?"""
