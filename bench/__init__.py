"""How fast Ringback is: the real server as a process, between a sandbox contact centre and CRM in others.

`python -m bench` measures it over SQLite and PostgreSQL, beside two references of the same run: the least that a
program could do (`floor`) and what a tutorial would have one write (`tutorial`). The systems take turns within each
round, so that whatever else the machine does disturbs them alike. An instant is that of a witness outside: the load
generator's for the webhook and its answer, the contact centre's journal for the dial, the CRM's for the end.
"""
