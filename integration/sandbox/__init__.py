"""A contact centre and a CRM to rehearse against. Nobody is rung, and every request is counted.

Imported by the command line and by tests only; it knows nothing of the rest of the program.
"""
