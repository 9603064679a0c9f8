"""Where what a check found is put right."""

# Where it is put right. Alma's menus begin at the gear (Configuration); the source is Ex Libris' online help.
CONFIG = "config/dcb.yaml in the bucket"
LIBRARIES = "Alma: Configuration > General > Libraries > Add a Library or Edit Library Information"
DESKS = "Alma: Configuration > Fulfillment > Library Management > Circulation Desks"
LOCATIONS = "Alma: Configuration > Fulfillment > Locations > Physical Locations"
POLICIES = "Alma: Configuration > Fulfillment > Physical Fulfillment > Item Policy"
RULES = (
    "Alma: Configuration > Fulfillment > Physical Fulfillment > Fulfillment Units > Fulfillment Unit Rules"
)
REASONS = "Alma: Configuration > Fulfillment > General > Request Cancellation Reasons"
GROUPS = "Alma: Configuration > User Management > User Details > User Groups"
ROLES = "Alma: Configuration > User Management > Roles and Registration > Role Assignment Rules"
MATERIALS = "Alma: Configuration > Resources, the code table Physical Material Type Descriptions"
