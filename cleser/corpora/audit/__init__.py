"""What a test must not have seen in training: leakage, and the copies and people by which it is known."""

from cleser.corpora.audit.leakage import Audit as Audit
from cleser.corpora.audit.leakage import LeakageError as LeakageError
from cleser.corpora.audit.leakage import audit as audit
from cleser.corpora.audit.leakage import audit_parts as audit_parts
