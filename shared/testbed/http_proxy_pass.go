package testbed

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// held bounds what is held of one message to find its middle. Longer content
// breaks at this byte.
const held = 1 << 20

// slowPieces is in how many pieces SlowAnswer sends.
const slowPieces = 4

// errBroken says that a fault has ended the exchange.
var errBroken = errors.New("broken by a fault")

// ServeHTTP implements http.Handler.
func (p *HTTPProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.fault(r)
	if f.Before != nil {
		f.Before()
	}
	e := &exchange{proxy: p, fault: f, w: w, r: r}
	if err := e.run(); err != nil && !errors.Is(err, errBroken) {
		// As a server would that is away: the client sees the connection end.
		e.hangUp(false)
	}
}

// exchange is one request and its answer.
type exchange struct {
	proxy *HTTPProxy
	fault HTTPFault
	w     http.ResponseWriter
	r     *http.Request
	sent  []byte // what the client meant to send, for FlipRequestHidden
}

func (e *exchange) run() error {
	if e.r.Context().Err() != nil {
		return errBroken
	}
	switch e.fault.Action {
	case Answer:
		return e.answer()
	case Drop:
		e.hangUp(false)
		return errBroken
	case StallRequest:
		_, _, _ = half(e.r.Body)
		return e.stall()
	default: // the server gets the request
	}
	body, length, err := e.requestBody()
	if err != nil {
		return err
	}
	out, err := http.NewRequestWithContext(e.r.Context(), e.r.Method, "http://"+e.proxy.target+e.r.URL.RequestURI(), body)
	if err != nil {
		return err
	}
	// The host stays the proxy's: Swift derives the storage's address from it.
	out.Header, out.Host, out.ContentLength = e.r.Header.Clone(), e.r.Host, length
	resp, err := e.proxy.transport.RoundTrip(out)
	if e.fault.Action == ResetRequest {
		if err == nil {
			_ = resp.Body.Close()
		}
		e.hangUp(true)
		return errBroken
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if e.fault.After != nil {
		e.fault.After()
		if e.r.Context().Err() != nil {
			return errBroken
		}
	}
	return e.relay(resp)
}

// requestBody is the content that the server gets, with its length.
func (e *exchange) requestBody() (io.Reader, int64, error) {
	switch e.fault.Action {
	case FlipRequest, FlipRequestHidden:
		data, err := io.ReadAll(io.LimitReader(e.r.Body, held+1))
		if err != nil || len(data) > held {
			return nil, 0, errors.Join(err, errors.New("content to flip is too long"))
		}
		e.sent = data
		return &reader{data: flipped(data)}, int64(len(data)), nil
	case ResetRequest:
		first, _, err := half(e.r.Body)
		if err != nil {
			return nil, 0, err
		}
		return &reader{data: first, then: errBroken}, e.r.ContentLength, nil
	default: // as it comes
	}
	if e.r.ContentLength == 0 {
		return nil, 0, nil
	}
	return e.r.Body, e.r.ContentLength, nil
}

// answer speaks in the server's place.
func (e *exchange) answer() error {
	_, _, _ = half(e.r.Body)
	for k, v := range e.fault.Header {
		e.w.Header().Set(k, v)
	}
	e.w.WriteHeader(e.fault.Status)
	_, err := io.WriteString(e.w, "<html><h1>"+http.StatusText(e.fault.Status)+"</h1></html>")
	return err
}

// relay passes the server's answer to the client.
func (e *exchange) relay(resp *http.Response) error {
	if e.fault.Action == LoseAnswer {
		e.hangUp(true)
		return errBroken
	}
	h := e.w.Header()
	maps.Copy(h, resp.Header)
	if e.fault.Action == FlipRequestHidden {
		sum := md5.Sum(e.sent)
		h.Set("Etag", hex.EncodeToString(sum[:]))
	}
	switch e.fault.Action {
	case FlipAnswer, ShortAnswer, EditAnswer:
		return e.changed(resp)
	case CutAnswer, ResetAnswer, StallAnswer, SlowAnswer:
		return e.halted(resp)
	default: // as it comes
	}
	e.w.WriteHeader(resp.StatusCode)
	return e.copy(resp.Body)
}

// copy passes content on as it comes.
func (e *exchange) copy(from io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if _, werr := e.w.Write(buf[:n]); werr != nil {
			return werr
		}
		_ = http.NewResponseController(e.w).Flush()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// changed passes an answer on whose content is another.
func (e *exchange) changed(resp *http.Response) error {
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	switch e.fault.Action {
	case FlipAnswer:
		data = flipped(data)
	case ShortAnswer:
		data = data[:len(data)/2]
	default:
		data = e.fault.Edit(data)
	}
	if e.r.Method != http.MethodHead {
		e.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	}
	e.w.WriteHeader(resp.StatusCode)
	_, err = e.w.Write(data)
	return err
}

// halted sends half of an answer, and does then what the fault says.
func (e *exchange) halted(resp *http.Response) error {
	first, rest, err := half(resp.Body)
	if err != nil {
		return err
	}
	if resp.ContentLength >= 0 {
		e.w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	e.w.WriteHeader(resp.StatusCode)
	if e.fault.Action == SlowAnswer {
		return e.slowly(io.MultiReader(&reader{data: first}, rest), len(first)*2/slowPieces+1)
	}
	if _, err := e.w.Write(first); err != nil {
		return err
	}
	_ = http.NewResponseController(e.w).Flush()
	if e.fault.Action == StallAnswer {
		return e.stall()
	}
	e.hangUp(e.fault.Action == ResetAnswer)
	return errBroken
}

func (e *exchange) slowly(from io.Reader, piece int) error {
	for {
		select {
		case <-time.After(e.fault.Pause):
		case <-e.r.Context().Done():
			return errBroken
		}
		_, err := io.CopyN(e.w, from, int64(piece))
		_ = http.NewResponseController(e.w).Flush()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stall is silent until the client gives up or the test ends.
func (e *exchange) stall() error {
	conn := e.take()
	if conn == nil {
		return errBroken
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	select {
	case <-ctx.Done():
	case <-e.proxy.ended:
	}
	return errBroken
}

// hangUp ends the client's connection, with RST or in good order.
func (e *exchange) hangUp(reset bool) {
	conn := e.take()
	if conn == nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// take is the client's connection, without the HTTP around it.
func (e *exchange) take() net.Conn {
	conn, buffered, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		return nil
	}
	_ = buffered.Flush()
	return conn
}

// half reads the first half of content, and gives the rest. Of long content it
// is the first held bytes.
func half(from io.Reader) ([]byte, io.Reader, error) {
	if from == nil {
		return nil, &reader{}, nil
	}
	data, err := io.ReadAll(io.LimitReader(from, held))
	if err != nil {
		return nil, nil, err
	}
	if len(data) == held {
		return data, from, nil
	}
	middle := len(data) / 2
	return data[:middle], &reader{data: data[middle:]}, nil
}

// flipped is data with the lowest bit of its middle byte changed.
func flipped(data []byte) []byte {
	out := append([]byte(nil), data...)
	if len(out) > 0 {
		out[len(out)/2] ^= 1
	}
	return out
}

// reader gives data and then an error, io.EOF when it is nil.
type reader struct {
	data []byte
	then error
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	n := copy(b, r.data)
	r.data = r.data[n:]
	if n > 0 || len(b) == 0 {
		return n, nil
	}
	if r.then != nil {
		return 0, r.then
	}
	return 0, io.EOF
}
