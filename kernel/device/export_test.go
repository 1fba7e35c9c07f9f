package device

import (
	"context"

	"github.com/kautopsy/kautopsy/kernel"
)

// CDevs walks cdev_map.
func CDevs(ctx context.Context, k *kernel.Kernel) error {
	_, err := charDevices(ctx, k)
	return err
}
