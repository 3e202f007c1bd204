package migration

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/trivet-cri/trivet/internal/config"
)

// assign sets what field points to to a value of containerd's file. Numbers
// as text and durations in seconds are taken as containerd means them.
func assign(field, value any) error {
	switch field := field.(type) {
	case *handlerPart:
		return field.assign(value)
	case *bool:
		return set(field, value)
	case *string:
		return set(field, value)
	case *int:
		return assignInt(field, value)
	case *uint32:
		var number int
		if err := assignInt(&number, value); err != nil {
			return err
		}
		if number < 0 || number > math.MaxUint32 {
			return fmt.Errorf("%d does not fit", number)
		}
		*field = uint32(number)
		return nil
	case *config.Duration:
		return assignDuration(field, value)
	case *[]string:
		return assignList(field, value)
	}
	return fmt.Errorf("no field for %v", value)
}

func set[T any](field *T, value any) error {
	typed, ok := value.(T)
	if !ok {
		return fmt.Errorf("%v is not a %T", value, *field)
	}
	*field = typed
	return nil
}

func assignInt(field *int, value any) error {
	switch value := value.(type) {
	case int64:
		*field = int(value)
		return nil
	case string:
		number, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
		*field = number
		return nil
	}
	return fmt.Errorf("%v is not a number", value)
}

func assignDuration(field *config.Duration, value any) error {
	switch value := value.(type) {
	case int64: // only stats_collect_period, which counts seconds
		if value < 0 || value > math.MaxInt64/int64(time.Second) {
			return fmt.Errorf("%d seconds do not fit", value)
		}
		*field = config.Duration(value * int64(time.Second))
		return nil
	case string:
		return field.UnmarshalText([]byte(value))
	}
	return fmt.Errorf("%v is not a duration", value)
}

func assignList(field *[]string, value any) error {
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("%v is not a list", value)
	}
	texts := make([]string, 0, len(list))
	for _, element := range list {
		text, ok := element.(string)
		if !ok {
			return fmt.Errorf("%v is not a text", element)
		}
		texts = append(texts, text)
	}
	*field = texts
	return nil
}
