"""One outside service each."""

import warnings

# tooz looks whether eventlet is there, as it is beside oslo.messaging; nothing here uses it, and nobody asked for its opinion of itself.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
