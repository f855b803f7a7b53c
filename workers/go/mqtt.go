package tinpot

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

const (
	keepAliveSeconds = 10
	// queueBytes may wait for a slow broker. Further frames are dropped: they are sent again.
	queueBytes  = 16 * 1024 * 1024
	queueFrames = 4096
)

// A connection to a broker is established again whenever it is lost.
type connection struct {
	manager *autopaho.ConnectionManager
	cancel  context.CancelFunc
	out     chan *paho.Publish
	queued  atomic.Int64
	isUp    atomic.Bool
	// ups receives when the connection is up, and subscribed to its topics.
	ups  chan struct{}
	sent chan struct{}
}

func connect(
	ctx context.Context, broker string, login *url.Userinfo, client string, topics []string,
	frames chan<- []byte, onUp func(),
) (*connection, error) {
	address, err := url.Parse(broker)
	if err != nil || address.Host == "" {
		return nil, fmt.Errorf("the broker must be mqtt://HOST or mqtts://HOST (got %q)", broker)
	}
	ports := map[string]string{"mqtt": "1883", "tcp": "1883", "mqtts": "8883"}
	port, isKnown := ports[address.Scheme]
	if !isKnown {
		return nil, fmt.Errorf("the broker must be mqtt://HOST or mqtts://HOST (got %q)", broker)
	}
	if address.Port() == "" {
		address.Host += ":" + port
	}
	if address.User != nil {
		login = address.User
	}
	address.User = nil
	if address.Scheme == "tcp" {
		address.Scheme = "mqtt"
	}
	suffix := make([]byte, 4)
	if _, err := rand.Read(suffix); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &connection{
		cancel: cancel, out: make(chan *paho.Publish, queueFrames),
		ups: make(chan struct{}, 1), sent: make(chan struct{}),
	}
	config := autopaho.ClientConfig{
		ServerUrls:       []*url.URL{address},
		TlsCfg:           &tls.Config{MinVersion: tls.VersionTLS12},
		KeepAlive:        keepAliveSeconds,
		ReconnectBackoff: func(attempt int) time.Duration { return min(time.Second*time.Duration(attempt), 5*time.Second) },
		ConnectPacketBuilder: func(packet *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			packet.CleanStart = true
			if login != nil {
				password, _ := login.Password()
				packet.Username, packet.UsernameFlag = login.Username(), true
				packet.Password, packet.PasswordFlag = []byte(password), password != ""
			}
			return packet, nil
		},
		OnConnectionUp: func(manager *autopaho.ConnectionManager, _ *paho.Connack) {
			go c.subscribe(ctx, manager, topics, onUp)
		},
		OnConnectionDown: func() bool {
			c.isUp.Store(false)
			return true
		},
		ClientConfig: paho.ClientConfig{
			ClientID: client + "-" + hex.EncodeToString(suffix),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){
				func(received paho.PublishReceived) (bool, error) {
					select {
					case frames <- received.Packet.Payload:
					case <-ctx.Done():
					}
					return true, nil
				},
			},
		},
	}
	if c.manager, err = autopaho.NewConnection(ctx, config); err != nil {
		cancel()
		return nil, err
	}
	go c.write(ctx)
	return c, nil
}

func (c *connection) subscribe(
	ctx context.Context, manager *autopaho.ConnectionManager, topics []string, onUp func(),
) {
	var wanted paho.Subscribe
	for _, topic := range topics {
		wanted.Subscriptions = append(wanted.Subscriptions, paho.SubscribeOptions{Topic: topic})
	}
	if _, err := manager.Subscribe(ctx, &wanted); err != nil {
		// The connection is lost or the broker refuses; both show in what the worker gets.
		return
	}
	c.isUp.Store(true)
	select {
	case c.ups <- struct{}{}:
	default:
	}
	onUp()
}

// publish sends a frame, unless the connection is down or the broker is far behind.
func (c *connection) publish(topic string, frame []byte) {
	size := int64(len(frame))
	if !c.isUp.Load() || c.queued.Load()+size > queueBytes {
		return
	}
	select {
	case c.out <- &paho.Publish{Topic: topic, Payload: frame}:
		c.queued.Add(size)
	default:
	}
}

func (c *connection) write(ctx context.Context) {
	defer close(c.sent)
	for packet := range c.out {
		// A lost frame is sent again by the protocol.
		_, _ = c.manager.Publish(ctx, packet)
		c.queued.Add(-int64(len(packet.Payload)))
	}
}

// close sends what waits, and disconnects. Nothing may be published any more.
func (c *connection) close() {
	close(c.out)
	patience, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	select {
	case <-c.sent:
	case <-patience.Done():
	}
	_ = c.manager.Disconnect(patience)
	c.cancel()
}
