package shimio

import "time"

// SetQuiet sets how long a stream must be silent to be settled. It is to be
// called before all else.
func SetQuiet(d time.Duration) { settleQuiet, settleSlow, settleLimit = d, d, 10*d }
