/* Made by tests/front_end/check.py --fix of sources 4587c9faa7dd4baea40a6e51c6e4c0a06b031bc362fd50f79e964bcdddc16883 */
var Be=Object.defineProperty;var tt=(t,e)=>{for(var s in e)Be(t,s,{get:e[s],enumerable:!0})};var Zt={zone:"the rules’ word for the run at a step, from healthy to exploding: it follows from the open alerts",output_ratio:"\
‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an adapter adds to what its layer gives","depth-scaled\
 output ratio":"the 90th percentile of output_ratio over adapters × depth",delta_norm:"‖ΔW‖: Frobenius norm of the adap\
ter update ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·Σlr·√(d_out·r/3)\
: what Adam reaches from the default start if every step agrees",drift_norm:"‖ΔW − ΔW at the start‖: what was learned wh\
ere the adapter did not begin at zero",spectral_norm:"σ₁(ΔW): the largest singular value of the adapter update",relative_norm:"\
‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight",relative_spectral_norm:"σ₁(ΔW) \
/ σ₁(W₀): the adapter update relative to the base weight, largest singular values",effective_rank:"exp of the entro\
py of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖ΔW‖² / σ₁²: a lower, steadier cou\
nt of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"‖B‖: Frobenius norm of the factor \
B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"‖∂B‖ as it reaches the optimizer, a\
fter clipping",step_norm:"‖ΔW now − ΔW one step before‖: how far one optimizer step goes",a_changed:"share of 64\
 numbers of A that the last update changed; below 1 where rounding loses updates",b_changed:"share of 64 numbers of B th\
at the last update changed; below 1 where rounding loses updates",base_drift:"‖W − W₀‖ / ‖W₀‖ of the base weight: 0, sin\
ce it is frozen",scale:"s: the live factor of B·A; α/r, with rsLoRA α/√r",effective_lr:"s · lr: scale × learning ra\
te of the parameter group that holds B",lr:"learning rate of the first parameter group",loss:"mean training loss of the \
whole optimizer step, NaN kept",expected:"the loss that the run’s own course predicts for the step",overhead:"share of\
 the wall time that the monitor took after the first 20 steps, which are all measured in full",adapters:"LoRA modules th\
at are monitored",step:"optimizer steps done",r:"rank: the inner size of B·A",alpha:"lora_alpha, of which the scale is \
made",base_norm:"‖W₀‖: Frobenius norm of the frozen base weight",base_spectral_norm:"σ₁(W₀): largest singular valu\
e of the frozen base weight",group:"index of the optimizer’s parameter group",max:"the largest of any adapter",p90:"90\
th percentile over adapters",median:"median over adapters",verdict:"the alert that the rules put first, else their word \
for the run",end:"the run’s own word for its end",steps:"optimizer steps done, of those planned","loss, mean of five":"\
mean of the last five losses; gain: the share of its start that it has lost",alerts:"episodes by severity: one cause mak\
es one alert, which opens, lasts and closes",Severity:"ERROR: the run fails or will; WARNING: something to act on; INFO:\
 worth knowing",Rule:"its id, as in lora-watch rules and in mute=",Held:"for how many steps its cause lasted",Adapters:"\
the adapter concerned, the worst first, and how many more","Stand out":"the adapters that are farthest from the median o\
f all at the step, and by which factor; broken ones first",Kind:"kind of the adapted layer","W₀":"the frozen base weig\
ht, rows × columns","B · A":"the factors of the adapter update, rows × columns",Trainable:"trainable numbers of the a\
dapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Frobenius norms",spectral:"σ₁(ΔW) / σ₁(W₀), largest singular values",
A:"of the factor A, r × columns",B:"of the factor B, rows × r",path:"the run step by step: gain of the loss against de\
pth-scaled output ratio, in the colours of its zones"},Jt=t=>Object.hasOwn(Zt,t)?Zt[t]:void 0,ze=[[/^output_ratio$/,"rat\
io of norms"],[/^relative_/,"relative to W₀"],[/spectral_norm$/,"σ₁"],[/_norm$/,"Frobenius norm"],[/_rank$/,"direct\
ions"],[/_changed$|^gain$/,"share"],[/_drift$/,"relative change"],[/^(effective_)?lr$/,"per step"],[/^loss/,"loss"],[/^scale$/,
"s"]],Qt=t=>ze.find(([e])=>e.test(t))?.[1];var je="http://www.w3.org/2000/svg";function Xt(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var b=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>Xt(document.
createElement(t),e,s),w=(t,e,...s)=>Xt(document.createElementNS(je,t),e,s),ht=(t,e,s,n,r={})=>w("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),dt=(t,e,s)=>w("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function N(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,o]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${o.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var te=t=>N(t,1e-4);function T(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var Ue={lr:"learning rate",b:"B",rslora:"rsLoRA",dora:"DoRA",adalora:"AdaLoRA",non:"non-"},R=t=>{let e=t.
split(/[-_]/).map(s=>Ue[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:e.charAt(0).toUpperCase()+
e.slice(1)},E={bubble(){let t=document.getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.
body.append(t),t},show(t,...e){let s=this.bubble();s.replaceChildren(...e.flat().filter(a=>a!=null&&a!==!1).map(a=>a instanceof
Node?a:c("div",null,a))),s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,o=t.clientX+16+n<innerWidth;s.style.
left=`${Math.max(4,o?t.clientX+14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}\
px`},under(t,...e){let{left:s,bottom:n}=t.getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.
bubble().style.display="none"}},ut=t=>({tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.
preventDefault(),e.stopPropagation(),t(e))}}),ee=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("\
span",null,e),c("b",null,s)),B=["ERROR","WARNING","INFO"],Yt={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-\
4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z"},et=t=>Yt[t]??Yt.INFO,L=(t,e=14)=>w("svg",{class:`severity ${W(t)}`,viewBox:"\
-7 -7 14 14",width:e,height:e,"aria-hidden":"true"},w("path",{d:et(t)})),W=t=>B.includes(t)?t.toLowerCase():"info";function O(t,e=t){
let s=Jt(e);return s?st(t,s):t}function st(t,e,s={}){let n=({currentTarget:o})=>{E.under(o,e),o.setAttribute("aria-descr\
ibedby","tip")},r=({currentTarget:o})=>{E.hide(),o.removeAttribute("aria-describedby")};return c("button",{type:"button",
...s,class:`term ${s.class??""}`.trim(),onclick:o=>{o.preventDefault(),o.stopPropagation(),n(o)},onfocus:n,onblur:r,onpointerenter:n,
onpointerleave:r,onkeydown:o=>{o.key==="Escape"&&(o.stopPropagation(),r(o))}},t)}var F=(t,e,...s)=>c("section",{class:"c\
ard"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"note"},e)),s),nt=(t,e)=>e.length>0&&c("ul",{class:t},...e.map(
s=>c("li",null,s))),Pe=700;function U(t,e,s=16,n=Pe){if(t<n)return{widths:e.map(()=>t),style:"grid-template-columns:minm\
ax(0,1fr)"};let r=e.reduce((l,i)=>l+i,0),o=t-s*(e.length-1),a=e.map(l=>Math.floor(o*l/r));return{widths:a,style:`grid-te\
mplate-columns:${a.map(l=>`${l}px`).join(" ")}`}}function ft(t,e,{hover:s,leave:n,zoom:r,choose:o}){let a=null,l=h=>h.clientX-
t.getBoundingClientRect().left,i=()=>{a=null,e.style.display="none"};t.addEventListener("pointerdown",h=>{a=l(h)}),t.addEventListener(
"pointermove",h=>{let d=l(h);a!=null&&Math.abs(d-a)>4&&(t.hasPointerCapture(h.pointerId)||t.setPointerCapture(h.pointerId),
e.setAttribute("x",Math.min(d,a)),e.setAttribute("width",Math.abs(d-a)),e.style.display="block"),s(h,d)}),t.addEventListener(
"pointerleave",()=>{n(),E.hide()}),t.addEventListener("pointercancel",i),t.addEventListener("click",h=>{let[d,f]=[a??l(h),
l(h)];i(),Math.abs(f-d)>4?r(Math.min(d,f),Math.max(d,f)):o(h,f)})}var Lt={};tt(Lt,{draw:()=>xs,endOf:()=>P,formulaOf:()=>vt,noAlert:()=>wt,notesIn:()=>bt,peakOf:()=>fe,rateOf:()=>me,recoveryIn:()=>xt,
severityOf:()=>Rt,title:()=>ys,verdict:()=>yt});var Ot={};tt(Ot,{draw:()=>as,inOrder:()=>gt,title:()=>os});var rt=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),J=class t{constructor(e,s,n,r){let[o,
a]=e.shape;this.columns=o,this.n=a,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.rows=e.rows,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.bytes=(s===n?5:
9)*r.length,this.until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().decode(
new Uint8Array(e,4,s))),[r,o]=n.shape,a=r*o,l=new Uint8Array(e,4+s),i=(f,p)=>{let y=new Uint8Array(p*a);for(let m=0;m<p;m++)
for(let g=0;g<o;g++)for(let u=0;u<r;u++)y[p*(u*o+g)+m]=l[f++];return y},h=new Float32Array(i(0,4).buffer),d=n.pooled?new Float32Array(
i(4*a,4).buffer):h;return new t(n,h,d,i((n.pooled?8:4)*a,1))}window({from:e=-1/0,to:s=1/0,adapter:n,max_cols:r=1/0}){let o=Array.
from(this.first.keys()).filter(g=>this.last[g]>=e&&this.first[g]<=s),a=n==null?Array.from({length:this.n},(g,u)=>u):[n],
l=Math.max(1,Math.ceil(o.length/r)),i=Array.from({length:Math.ceil(o.length/l)},(g,u)=>o.slice(u*l,(u+1)*l)),h=i.length*
a.length,d=this.pooled||l>1,f=new Float32Array(h),p=d?new Float32Array(h):f,y=new Uint8Array(h);i.forEach((g,u)=>{a.forEach(
(x,$)=>{let A=g.map(S=>S*this.n+x),_=u*a.length+$,v=S=>A.map(I=>S[I]).filter(Number.isFinite),[M,k]=[v(this.low),v(this.
high)];p[_]=M.length?Math.min(...M):this.low[A[0]],f[_]=k.length?Math.max(...k):this.high[A[0]],y[_]=A.reduce((S,I)=>S|this.
flags[I]&3,0),A.every(S=>this.flags[S]&4)&&(y[_]|=4)})});let m={shape:[i.length,a.length],first:i.map(g=>this.first[g[0]]),
last:i.map(g=>this.last[g[g.length-1]]),pooled:d,width:this.width*l,rows:o.length===this.columns?this.rows:o.length*this.
width,notes:this.notes};return new t(m,p,f,y)}columnOf(e){let s=0,n=this.columns-1;for(;s<n;){let r=s+n+1>>1;this.first[r]<=
e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>e)return;let n=this.columnOf(e),r=n*this.n+s;return this.
flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){return Math.max(this.until??0,this.last[this.columns-
1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return e>=this.columns?1:(this.first[e]-s)/(n*this.
width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return Math.floor(s+Math.max(0,Math.min(.999999,
e))*n*this.width)}say(e,s,n){let r=e*this.n+s,o=this.low[r],a=this.high[r],l=this.flags[r];return[Number.isFinite(a)?o===
a?n(a):`${n(o)} … ${n(a)}`:"",l&&rt(l)].filter(Boolean).join(", ")}steps(e){let s=this.first[e],n=this.last[e];return s===
n?`step ${s}`:`steps ${s}–${n}`}};function V(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),o=[1,2,5,10].map(l=>l*
r).find(l=>l>=n*.999)??10*r,a=[];for(let l=Math.ceil(t/o)*o;l<=e+o*1e-9;l+=o)a.push(Number(l.toPrecision(12)));return a}
function ot(t,e,s=6){let n=o=>{let a=[];for(let l=Math.floor(t);l<=Math.ceil(e);l++)for(let i of o)Math.log10(i)+l>=t-1e-9&&
Math.log10(i)+l<=e+1e-9&&a.push(+`${i}e${l}`);return a},r=n([1]);return r.length>=3?r.filter((o,a)=>a%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(o=>o.length>1&&o.length<=s)??(r.length>1?r:V(10**t,10**e,s/2))}var kt=(t,{left:e,right:s},n,r=te)=>t.
flatMap(o=>[w("line",{x1:e,x2:s,y1:n(o),y2:n(o),class:"grid"}),w("text",{x:e-6,y:n(o)+b(4),"text-anchor":"end"},r(o))]),
j=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function mt(t,e){
let{width:s,height:n,step:r,alerts:o=[]}=e,a=t.filter(De),l=t.map(u=>u.name).join(", "),i=ht("chart",s,n,l,o.length?{role:"\
group"}:{});if(!a.length)return i.append(dt(s/2,n/2,e.empty??"not logged in this run")),i;let h=He(a,e),{X:d,x0:f,x1:p,top:y,
foot:m}=h;i.append(...qe(h,e),...Ze(h,e.thresholds??[]));let g=[];for(let u of a)i.append(...es(u,h,g));return i.append(
...Qe(h,e.discarded??[])),r!=null&&r>=f&&r<=p&&i.append(w("line",{x1:d(r),x2:d(r),y1:y,y2:m,class:"cursor"})),i.append(...Ye(
h,o,e.onAlert),...(e.marks??[]).flatMap(u=>Je(h,u))),Xe(i,a,h,e),i}var De=({matrix:t,column:e=0,dash:s})=>t&&Array.from(
t.first).some((n,r)=>Number.isFinite(t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function He(t,e){let{width:s,height:n,alerts:r=[]}=e,
o=b(58),a=s-b(12),l=r.length?20:10,i=n-b(22),[h,d]=e.range,f=({matrix:$,column:A=0})=>Array.from({length:$.columns},(_,v)=>$.
high[v*$.n+A]).some(_=>_>0&&_<1/0),p=e.log&&t.some(f),y=p?$=>$>0?Math.log10($):NaN:$=>$,[m,g]=Ve(Ke(Ge(t,y,h,d),e.thresholds,
y,p),e.zero,p);return{left:o,right:a,top:l,foot:i,x0:h,x1:d,log:p,to:y,low:m,high:g,X:$=>o+(d===h?(a-o)/2:($-h)/(d-h)*(a-
o)),Y:$=>i-(Math.max(m,Math.min(g,$))-m)/(g-m)*(i-l)}}function Ge(t,e,s,n){let r=1/0,o=-1/0;for(let{matrix:a,column:l=0}of t)
for(let i=0;i<a.columns;i++){if(a.last[i]<s||a.first[i]>n)continue;let h=e(a.low[i*a.n+l]),d=e(a.high[i*a.n+l]);h<r&&h>-1/0&&
(r=h),d>o&&d<1/0&&(o=d),d<r&&d>-1/0&&(r=d)}return[r,o]}function Ke([t,e],s=[],n,r){for(let{value:o}of s){let a=n(o);r&&a>
e&&a-e<1&&(e=a+.05),r&&a<t&&t-a<1&&(t=a-.05)}return[t,e]}function Ve([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(
0,t)),n&&e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(e))){let o=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-o,e+o]}let r=(e-
t)*.06;return[s&&t===0?t:t-r,e+r]}function qe({left:t,right:e,top:s,foot:n,x0:r,x1:o,log:a,to:l,low:i,high:h,X:d,Y:f},p){
let{height:y,term:m,axis:g="step"}=p,u=n-s,x=a?ot(i,h,Math.max(2,u/b(18))):V(i,h,Math.max(2,u/b(32))),$=()=>V(r,o,(e-t)/
b(62)).filter(Number.isInteger),A=p.ticks??$().map(M=>[M,M]),_=[Qt(m??""),a&&"log"].filter(Boolean).join(", "),v=`transl\
ate(${b(10)},${s+u/2})rotate(-90)`;return[...kt(x,{left:t,right:e},M=>f(l(M))),...A.map(([M,k])=>w("text",{x:d(M),y:y-5,
"text-anchor":"middle"},k)),w("text",{class:"axis-name",x:t-8,y:y-5,"text-anchor":"end"},g),w("text",{class:"axis-name",
"text-anchor":"middle",transform:v},_)]}var Ze=({left:t,right:e,to:s,low:n,high:r,Y:o},a)=>a.map(({value:l,name:i})=>({v:s(
l),name:i})).filter(({v:l})=>l>=n&&l<=r).flatMap(({v:l,name:i})=>[w("line",{x1:t,x2:e,y1:o(l),y2:o(l),class:"threshold"}),
w("text",{x:e-2,y:o(l)-3,"text-anchor":"end",class:"threshold"},i)]),Je=({top:t,foot:e,X:s},{at:n,name:r,kind:o})=>[w("l\
ine",{class:"found",x1:s(n),x2:s(n),y1:t,y2:e,style:`stroke:var(--${o})`}),w("text",{class:"found",x:s(n)-4,y:t+b(10),"t\
ext-anchor":"end",style:`fill:var(--${o})`},r)],Qe=({top:t,foot:e,x0:s,x1:n,X:r},o)=>o.map(([a,l])=>({first:a,last:l,from:Math.
max(s,a-.5),until:Math.min(n,l+.5)})).filter(({from:a,until:l})=>l>a).map(({first:a,last:l,from:i,until:h})=>{let d=a<l?
`steps ${a} to ${l} were discarded`:`step ${l} was discarded`,f={x:r(i),y:t,width:r(h)-r(i),height:e-t},p=`M${r(h)} ${t+
6}H${r(i)}m5 -4l-5 4l5 4`;return w("g",{class:"discarded"},w("title",null,d),w("rect",f),w("path",{d:p}))});function Ye({
top:t,foot:e,x0:s,x1:n,X:r},o,a){let l=o.filter(i=>i.step>=s&&i.step<=n);return l.flatMap((i,h)=>{let d=l.slice(0,h).filter(
({step:u})=>u===i.step).length,f=Math.min(n,i.closed_step==null?n:i.last_step),p=W(i.severity),y={x:r(i.step),y:7.5,width:r(
f)-r(i.step),height:3,class:`held severity ${p}`},m={class:`mark severity ${p}`,"aria-label":`${i.severity} ${i.name} at\
 step ${i.step}`,transform:`translate(${r(i.step)+13*d},9)`,...ut(u=>{u.stopPropagation(),a?.(i)}),onpointermove:u=>{u.stopPropagation();
let x=c("b",null,`${i.severity} ${i.rule} ${i.name}`);E.show(u,x,`step ${i.step}`,i.message)}},g=!d&&w("path",{d:`M0 6V${e-
t+11}`,class:"stem"});return[...f>i.step?[w("rect",y)]:[],w("g",m,g,w("path",{d:et(i.severity)}))]})}function Xe(t,e,{left:s,
right:n,top:r,foot:o,x0:a,x1:l,X:i},h){let{axis:d="step",say:f=String,onStep:p,onZoom:y}=h,m=w("line",{y1:r,y2:o,class:"\
hover"}),g=w("rect",{y:r,height:o-r,class:"select"});t.append(m,g);let u=x=>Math.round(a+Math.max(0,Math.min(1,(x-s)/(n-
s)))*(l-a));ft(t,g,{hover:(x,$)=>{let A=u($);m.setAttribute("x1",i(A)),m.setAttribute("x2",i(A)),m.style.display="block",
E.show(x,`${d} ${f(A)}`,ts(e,A))},leave:()=>{m.style.display="none"},zoom:(x,$)=>u(x)<u($)&&y?.(u(x),u($)),choose:(x,$)=>p?.(
u($))})}var ts=(t,e)=>t.map(({matrix:s,column:n=0,colour:r,name:o})=>s.first[0]>e?null:ee(r,o,s.say(s.columnOf(e),n,N)));
function es(t,{X:e,Y:s,to:n,x0:r,x1:o,top:a,foot:l},i){let{matrix:h,column:d=0,colour:f,dash:p,thin:y}=t,m=[],g="",u=!1,
x="",$="",A=[],_=[],v=[],M=()=>{A.length>1&&v.push(`M${A.join("L")}L${_.reverse().join("L")}Z`),A.length=_.length=0};for(let k=0;k<
h.columns;k++){let S=(h.first[k]+h.last[k])/2;if(h.last[k]<r||h.first[k]>o)continue;let I=k*h.n+d,D=e(S).toFixed(1);!p&&
h.flags[I]&3&&(m.at(-1)?.column===k-1?Object.assign(m.at(-1),{column:k,to:e(S)}):m.push({column:k,from:e(S),to:e(S),kind:h.
flags[I]&1?"NaN":"Inf"}));let G=n(h.low[I]),K=n(h.high[I]);if(!Number.isFinite(K)){u=!1,$+=x,x="",M();continue}let X=Number.
isFinite(G)?s((G+K)/2):s(K);g+=`${u?"L":"M"}${D} ${X.toFixed(1)}`,u?x="":x=`M${D} ${X.toFixed(1)}h.01`,u=!0,h.pooled&&(A.
push(`${D} ${s(K).toFixed(1)}`),_.push(`${D} ${(Number.isFinite(G)?s(G):l).toFixed(1)}`))}return M(),[v.length&&w("path",
{d:v.join(""),class:"band",style:`fill:${f};stroke:${f}`}),w("path",{d:g,class:y?"line thin":"line","stroke-dasharray":p,
style:`stroke:${f}`}),$+x&&w("path",{d:$+x,class:"lone",style:`stroke:${f}`}),...m.filter(({from:k,to:S})=>!i.some(I=>I.
from<=k&&S<=I.to)&&i.push({from:k,to:S})).map(({from:k,to:S,kind:I})=>w("g",{class:"broken"},w("rect",{x:k-1.5,width:S-k+
3,y:a,height:l-a}),w("rect",{class:"foot",x:k-1.5,width:S-k+3,y:l-6,height:6}),w("text",{x:k+3,y:l-10},I)))].filter(Boolean)}
var ss=t=>c("div",{class:"legend"},t.map(e=>c("span",null,c("i",{class:e.dash?"dashed":null,style:`--swatch:${e.colour}`}),
O(e.name)))),H=(t,e,s,n)=>F(O(t,n.term),e,(n.legend??s.length>1)&&ss(s),mt(s,n));var pt=t=>`${t.rule}@${t.step}`;function At({step:t,last_step:e,closed_step:s},n){return s==null?n?"to the end":"still o\
pen":`${e-t+1} step${e>t?"s":""}`}async function ne(t,e,s,n){let r=e.adapters?.[0]&&t.adapters.find(({name:o})=>o===e.adapters[0].
name);return c("section",{class:`card detail ${W(e.severity)}`,id:"detail"},c("header",null,L(e.severity,16),c("h2",null,
R(e.name)),c("span",{class:"note"},`${e.rule} · step ${e.step} · ${At(e,s)}`)),c("p",{class:"message"},c("b",null,e.message.
charAt(0).toUpperCase()+e.message.slice(1)),e.details&&`. ${e.details}`),se("Cause",e.causes),e.next_run&&[c("h3",null,"\
Next run"),c("p",{class:"advice",id:"settings"},e.next_run.text)],se("Fix",e.remedies),await ns(t,e,r,n),c("div",{class:"\
actions"},c("button",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(e,"layer")},"See the layer"),c("button",{id:"to-\
heatmap",disabled:!t.run.metrics.length,onclick:()=>t.openAlert(e,"heatmap")},"See it in the heatmap")),rs(t,e))}var re=(t,e)=>t.
adapters.find(s=>s.name===e)?.short??e,se=(t,e)=>e?.length?[c("h3",null,t),c("ul",{class:"advice"},e.map(s=>c("li",null,
String(s))))]:null;async function ns(t,e,s,n){let{metric:r}=e,o=t.run.metrics.includes(r),a=t.window(400),l=null;return o&&
s?l={name:`${r}, ${s.short}`,matrix:await t.metric(r,{adapter:s.index,...a})}:t.run.series.includes(r)&&(l={name:r,matrix:await t.
series(r,a)}),l?H(l.name,null,[{...l,colour:"var(--c1)"}],{term:r,width:n-52,height:b(150),log:o,step:t.step,onStep:t.setStep,
onZoom:t.zoom,range:t.range(),discarded:j(t.alerts),alerts:[e],thresholds:o&&(e.threshold??0)>0?[{value:e.threshold,name:`\
threshold ${N(e.threshold)}${r==="output_ratio"?" of a layer":""}`}]:[]}):null}function rs(t,e){if(!e.adapters?.length)return null;
let s=({name:n,value:r,text:o})=>c("button",{class:"row",onclick:()=>t.set({view:"layer",adapter:n,step:e.step,alert:pt(
e)})},c("span",{class:"mono"},n),c("b",null,r==null?(o??"–").replace("nan","NaN"):N(r)));return[c("h3",null,`Adapters,\
 worst first (${e.adapters.length})`),c("ol",{class:"named"},e.adapters.slice(0,40).map(n=>c("li",null,s(n))))]}var os="Alerts",is=["Severity","Rule","What","Step","Held","Adapters"],gt=t=>[...t].sort((e,s)=>B.indexOf(e.severity)-B.
indexOf(s.severity)||e.step-s.step);async function as(t){if(!t.alerts.length)return F(null,null,c("p",{class:"none"},`✓ ${wt(
t.schema)}`));let e=!["running",null].includes(t.ending.verdict),s=gt(t.alerts),n=s.find(a=>pt(a)===t.state.alert)??s[0],
r=U(t.width,[52,48]),o=c("div",{class:"columns",style:`${r.style};align-items:start`},F(null,null,c("table",{class:"grid",
id:"alerts"},c("thead",null,c("tr",null,...is.map(a=>c("th",null,O(a))))),c("tbody",null,s.map((a,l)=>ls(t,a,l,a===n,e))))),
await ne(t,n,e,r.widths[1]));return c("div",null,o)}function ls(t,e,s,n,r){let{severity:o,rule:a,name:l,step:i,adapters:h}=e;
return c("tr",{class:n?"chosen":null,"data-alert":pt(e),onclick:()=>t.openAlert(e)},c("td",null,c("span",{class:`tag ${W(
o)}`},L(o,11),o.toLowerCase())),c("td",{class:"mono"},a),c("td",null,c("button",{id:`alert-${s}`,class:"open","aria-curr\
ent":String(n)},R(l))),c("td",{class:"number"},i),c("td",null,At(e,r)),c("td",null,h?.length?[c("span",{class:"mono clip"},
re(t,h[0].name)),h.length>1&&c("small",null,` +${h.length-1}`)]:"–"))}function oe(t,e){let s=t.schema.config?.find_lr,n=it(s?.curve?.rate),r=n.length;if(r<2)return null;let o=U(e-26,[3,2],24),
[a,l]=[Math.log10(n[0]),Math.log10(n[r-1])],i=u=>1+(r-1)*(Math.log10(u)-a)/(l-a),h={width:o.widths[0],range:[1,r],axis:"\
rate",ticks:ot(a,l,o.widths[0]/b(70)).filter(u=>i(u)>r/20).map(u=>[i(u),N(u)]),say:u=>N(n[u-1]),marks:[{rate:s.rate,name:"\
suggestion",kind:"ok"},{rate:s.edge,name:s.edge_rule?`edge, ${s.edge_rule}`:"edge",kind:"error"}].filter(({rate:u})=>u!=
null).map(u=>({...u,at:i(u.rate)}))},{loss:d,smoothed:f,output_ratio:p}=s.curve,y=Math.max(...it(f).filter(Number.isFinite)),
m=[{name:"loss",matrix:St(it(d).map(u=>u>y?Number.NaN:u)),thin:!0},{name:"loss, mean of five",matrix:St(it(f))}].map(u=>({
...u,colour:"var(--c1)"})),g=[{name:"depth-scaled output ratio",matrix:St(it(p)),colour:"var(--c2)"}];return F("Learning\
 rate, found by a sweep",`${r} steps before the run`,c("div",{class:"sweep",id:"found",style:o.style},c("div",null,mt(m,
{...h,height:b(180),term:"loss, mean of five"}),mt(g,{...h,height:b(140),log:!0,term:g[0].name,thresholds:[{value:1}]})),
nt("words",s.sentences??[])))}var it=t=>(t??[]).map(e=>e==null?Number.NaN:Number(e));function St(t){let e=t.map((r,o)=>o+
1),s=Float32Array.from(t),n={shape:[t.length,1],first:e,last:e,width:1,rows:t.length,notes:[]};return new J({...n,pooled:!1},
s,s,new Uint8Array(t.length))}var It=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size),ae=({rules:t},e)=>e==="ou\
tput_ratio"?t?.find(({id:s})=>s==="LW102")?.thresholds?.threshold??null:null,le="waiting for the first step",ce="no step\
 was made",Et=t=>t===le||t===ce,cs={unknown:"faint","non-finite":"broken",diverged:"c4"};function at(t,e,s){let n=t.zones?.[e?.
at(s)];if(!n)return null;let r=n.severity?W(n.severity):n.name==="healthy"?"ok":"info";return{name:n.name,head:R(n.name),
text:n.text,kind:r,colour:cs[n.name]??r}}var lt=({loss:t,loss_start:e,loss_recent:s},n)=>Number.isFinite(t?.at(n)??0)?1-
s?.at(n)/e?.at(n):Number.NaN,Wt=["output_ratio","relative_spectral_norm"];async function he(t,e){let s=Wt.find(v=>t.runs[e].
metrics.includes(v)),{verdict:n}=await t.data.verdict(e),r=["running",null].includes(n)?le:ce;if(!s){let v=t.runs[e].step?
"the output ratio was not measured":r;return{metric:"output_ratio",points:[],depth:1,missing:v}}let o={max_cols:400},[a,
{alerts:l},i,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.spread(s,o,e),t.series("loss_recent",o,e)]),d=It(
a),f=i.first.findIndex((v,M)=>i.flags[M*i.n]&3),p=f<0?void 0:i.first[f],y=h?.columns?[...new Set([...i.last,h.last.at(-1)])].
filter(v=>v>=h.first[0]):[],[m,g]=await Promise.all([t.spread(s,{at:y},e),t.seriesOf(["loss","loss_start","loss_recent",
"zone"],{at:y},e)]),u=y.sort((v,M)=>v-M).map(v=>({step:v,gain:lt(g,v),ratio:d*m.at(v,1),zone:at(a,g.zone,v)})).filter(({
gain:v,ratio:M})=>Number.isFinite(v)&&M>0),x=j(l),$=([v,M],{step:k})=>v<=k&&k<=M,A=u.filter(v=>!x.some(M=>$(M,v))),_=x.map(
v=>u.filter(M=>$(v,M)));return{metric:s,points:A,strays:_,depth:d,broken:p,missing:A.length?null:hs(t.runs[e],f<0?null:i.
steps(f),r)}}var hs=({series:t,step:e},s,n)=>e===0?n:t.includes("loss")?s?`NaN since ${s}`:"too few steps":"the loss is \
unknown";function ie(t){let e=Math.max(1,Math.round(t.length/30));return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),
o=t.slice(n-r,n+r+1),a=l=>o.reduce((i,h)=>i+l(h),0)/o.length;return{...s,gain:a(l=>l.gain),ratio:Math.exp(a(l=>Math.log(
l.ratio)))}})}function de(t,e){let{width:s,height:n,damage:r,step:o,onStep:a}=e,l=t.metric==="output_ratio"?"depth-scale\
d output ratio":"σ₁(ΔW) / σ₁(W₀) × depth",i=ie(t.points),h=(t.strays??[]).map(ie),d=ds([...i,...h.flat()],s,n,
r),f=ht("picture",s,n,`${l} against improvement of the loss`);return f.append(...us(d,l,n),...fs(d,r)),t.missing?f.append(
ms(d,t.missing)):f.append(...ps(t.points,i,h,d),...gs(i,t.broken,d,o)),ws(f,i,d,l,a),f}function ds(t,e,s,n){let r=b(56),
o=e-b(20),a=b(12),l=s-b(40),i=t.map(u=>u.gain),h=t.map(u=>Math.log10(u.ratio)),d=Math.max(-1,Math.min(-.2,...i.map(u=>u*
1.12))),f=Math.min(1,Math.max(.4,...i.map(u=>u*1.15))),p=Math.max(-4,Math.min(...h.length?h:[-1])-.3),y=Math.min(5,Math.
max(...h.length?h:[1],n?Math.log10(n):-4)+.3);return{left:r,right:o,top:a,bottom:l,x0:d,x1:f,y0:p,y1:y,X:u=>r+(Math.max(
d,Math.min(f,u))-d)/(f-d)*(o-r),Y:u=>l-(Math.max(p,Math.min(y,Math.log10(u)))-p)/(y-p)*(l-a)}}function us({left:t,right:e,
top:s,bottom:n,x0:r,x1:o,y0:a,y1:l,X:i,Y:h},d,f){let p=e-t,y=`translate(${b(12)},${(s+n)/2})rotate(-90)`;return[w("rect",
{x:t,y:s,width:p,height:n-s,class:"frame"}),...kt(ot(a,l),{left:t,right:e},h),...V(r,o,Math.max(4,p/b(70))).map(m=>w("te\
xt",{x:i(m),y:n+b(15),"text-anchor":"middle"},T(m))),w("line",{x1:i(0),x2:i(0),y1:s,y2:n,class:"axis"}),w("text",{x:e,y:f-
6,"text-anchor":"end",class:"axis-name"},"gain: loss below its start →"),w("text",{class:"axis-name","text-anchor":"mi\
ddle",transform:y},`${d}, p90, log`)]}function fs({left:t,right:e,top:s,Y:n},r){return r?[w("rect",{x:t,y:s,width:e-t,height:n(
r)-s,class:"damaged"}),w("text",{x:e-b(6),y:n(r)-b(5),"text-anchor":"end",class:"damaged"},"runs up here were damaged")]:
[]}var ms=({left:t,right:e,top:s,bottom:n},r)=>dt((t+e)/2,(s+n)/2,Et(r)?r:`no path: ${r}`);function ps(t,e,s,{X:n,Y:r}){
let o=i=>`${n(i.gain).toFixed(1)} ${r(i.ratio).toFixed(1)}`,a=i=>i.map((h,d)=>`${d?"L":"M"}${o(h)}`).join(""),l=({zone:i},h)=>i&&
h&&w("path",{d:`M${o(e[h-1])}L${o(e[h])}`,class:`trace zone ${i.kind}`,style:`stroke:var(--${i.colour})`});return[w("pat\
h",{class:"trace-raw",d:t.map(i=>`M${o(i)}h.01`).join("")}),...s.map(i=>w("path",{d:a(i),class:"trace stray"},w("title",
null,`steps ${i[0]?.step} to ${i.at(-1)?.step}, discarded`))),w("path",{d:a(e),class:"trace-halo"}),w("path",{d:a(e),class:"\
trace"}),...e.map(l).filter(Boolean)]}function gs(t,e,{X:s,Y:n,left:r,right:o},a){let l=(f,p,y,m)=>{let g=s(f.gain)>o-b(
50)?"end":s(f.gain)<r+b(50)?"start":"middle";return w("g",{class:y,transform:`translate(${s(f.gain).toFixed(1)},${n(f.ratio).
toFixed(1)})`},w("circle",{r:b(p)}),w("text",{y:y==="begin"?b(17):-b(p+5),"text-anchor":g},m))},i=t[t.length-1],h=e>=i.step,
d=t.findLast(f=>f.step<=a);return[t.length>1&&l(t[0],3.5,"begin","start"),l(i,6,h?"end gone":"end",`step ${i.step}${h?",\
 then NaN":""}`),d&&d!==i&&l(d,5,"now",`step ${a}`)].filter(Boolean)}function ws(t,e,{X:s,Y:n},r,o){let a=l=>{let i=t.getBoundingClientRect(),
h=f=>Math.hypot(s(f.gain)-(l.clientX-i.left),n(f.ratio)-(l.clientY-i.top)),d=e.reduce((f,p)=>f&&h(f)<=h(p)?f:p,null);return d&&
h(d)<30?d:null};t.addEventListener("pointermove",l=>{let i=a(l);if(!i)return E.hide();E.show(l,`step ${i.step}: ${i.zone?.
head.toLowerCase()??"zone not recorded"}`,`${r} ${N(i.ratio)}`,`gain ${T(i.gain)}`)}),t.addEventListener("pointerleave",
()=>E.hide()),t.addEventListener("click",l=>{let i=a(l);i&&o(i.step)})}var ys="Overview",Q=20;function yt(t,e,s,n,r=0){if(t)return{kind:W(t.severity),head:`${t.severity}: ${t.message}`,text:t.
details||t.causes?.[0],alert:t};if(n)return{kind:"warning",head:`Recovered at step ${n.step}`,text:n.details||n.message};
if(!e)return{kind:"info",head:"Not recorded",text:"This run was written without its zones."};let o=["ok","info"].includes(
e.kind)?{...e,head:bs(r)}:e;return e.name!=="unknown"||!s?o:Et(s)?{...o,head:R(s)}:{...o,text:`${e.text} Here: ${s}.`}}var bs=t=>t?
`No warnings, ${t} note${t>1?"s":""}`:"No alerts",bt=t=>t.filter(e=>e.severity==="INFO").length,xt=(t,e)=>t.findLast(s=>s.
name==="recovered"&&s.step<=e),Rt=t=>({failed:2,unhealthy:2,interrupted:1,unknown:1})[t]??0;async function xs(t){let{alerts:e,
step:s,state:n}=t,r={at:s},o=t.window(600),[a,l,i,h,d,f,p,y]=await Promise.all([he(t,n.run),t.data.verdict(n.run,s),ue(t,
r),ue(t,o),t.seriesOf(["loss","loss_start","loss_recent","overhead","zone"],r),t.series("effective_lr",{max_cols:600,to:s}),
t.seriesOf(["loss","loss_expected","effective_lr"],o),t.series("overhead",{at:Q})]),m=i&&_s(i,s),g=m==null?null:await t.
metric(a.metric,{from:m,to:m}),u=l.first==null?null:e[l.first],x=yt(u,at(t.schema,d.zone,s),a.missing,xt(e,s),bt(e)),$=U(
t.width,[43,57]),[A,_]=$.widths;return c("div",{class:"overview"},As(t,x,P(l,t.run)),c("div",{class:"tiles"},Ss(t,{...d,
rates:f,first20:y},i,a)),c("div",{class:"columns",style:$.style},F(O("Where the run is","path"),Ns(a.points),de(a,{width:A-
26,height:b(470),damage:ae(t.schema,a.metric),step:s,onStep:t.setStep})),vs(t,{...p,size:h},a,_)),c("div",{class:"column\
s",style:$.style},F("Alerts",e.length?`${e.length} so far`:null,Is(t)),F(`Largest ${a.metric==="output_ratio"?"output ra\
tios":"adapters"}`,g?.columns?`${g.first[0]<g.last[0]?"highest of":"at"} ${g.steps(0)}, log scale`:null,Es(t,g))),oe(t,t.
width))}function vs(t,{loss:e,loss_expected:s,effective_lr:n,size:r},o,a){let l=t.lastStep>0,i=j(t.alerts),h=U(a,[1,1],16,
520),d={step:t.step,onStep:t.setStep,onZoom:t.zoom,range:t.range(),discarded:i},f={...d,empty:l?"not logged in this run":
o.missing,width:h.widths[0]-26,height:b(190)},p=[{name:"loss",matrix:e,colour:"var(--c1)"},{name:"expected",matrix:s,colour:"\
var(--soft)",dash:"3 3",thin:!0}],y=o.metric==="output_ratio"?"Output ratio":"σ₁(ΔW) relative to σ₁(W₀)";return c(
"div",{class:"stack"},H("Loss",null,p,{...d,term:"loss",width:a-26,height:b(212),alerts:t.alerts.filter(m=>m.step>0),onAlert:m=>t.
openAlert(m,"alerts"),empty:l?"the loss is unknown in this run":o.missing}),c("div",{class:"columns",style:h.style},H(y,
"over adapters",r&&l?$s(r):[],{...f,term:o.metric,log:!0}),H("s · lr","per group",l?Ms(n):[],{...f,term:"effective_lr",
zero:!0,log:i.length>0})))}var $s=t=>["max","p90","median"].map((e,s)=>({name:e,column:s,matrix:t,colour:`var(--c${[2,1,
3][s]})`,thin:s!==1}));function Ns(t){let e=new Map(t.map(({zone:n})=>[n?.head??"zone not recorded",n?.colour])),s=([n,r])=>c(
"span",null,c("i",{style:`--swatch:var(--${r??"trace"})`}),n.toLowerCase());return c("span",{class:"legend"},[...e].map(
s))}var ue=async(t,e)=>await t.spread("output_ratio",e)??await t.spread("relative_spectral_norm",e);function _s(t,e){return!t.
columns||t.first[0]>e?null:t.last[t.columnOf(e)]}var Ms=t=>Array.from({length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.
isFinite(t.high[(t.columns-1)*t.n+e])).map((e,s)=>({name:`group ${e}`,matrix:t,column:e,colour:`var(--c${1+s%6})`}));function P({
verdict:t,message:e},{wall_time:s},n=Date.now()/1e3){let r=(e??"").split(`
`)[0];if(t==="ok")return{word:"finished",kind:"ok",text:"Training came to its end."};if(t==="unhealthy")return{word:"end\
ed with an ERROR",kind:"error",text:r};if(t==="unknown")return{word:"finished, not judged",kind:"warning",text:r};if(t===
"failed")return{word:"stopped by fail_on",kind:"error",text:r};if(t==="interrupted")return{word:"broke off",kind:"warnin\
g",text:r};if(t!=="running")return null;let o=(n-s)/60;if(o<15)return{word:"running",kind:"info",text:"Training goes on."};
let[a,l]=o<120?[o,"min"]:o<2880?[o/60,"h"]:[o/1440,"days"];return{word:`silent for ${Math.round(a)} ${l}`,kind:"warning",
text:"The run wrote nothing since, not even its end: killed, or very slow."}}var ks=({step:t,last_step:e,closed_step:s})=>s==
null?`since step ${t}`:e>t?`steps ${t}–${e}`:`at step ${t}`;function As(t,{kind:e,head:s,text:n,alert:r},o){let a=t.ending.
next_run?.text,l=B.map(i=>{let h=t.alerts.filter(d=>d.severity===i).length;return c("button",{class:`chip ${W(i)}`,disabled:!h,
title:"show the alerts",onclick:()=>t.set({view:"alerts"})},L(i,11),c("b",null,h),i.toLowerCase()+(i==="INFO"||h===1?"":
"s"))});return c("section",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria-hidden":"true"},e==="ok"?"✓":
L(e.toUpperCase(),30)),c("div",{class:"words"},c("h1",null,s,o&&st(o.word,o.text,{id:"ended",class:`badge ${o.kind}`}),r&&
c("small",null,ks(r))),c("p",null,n),a&&c("p",{class:"fix",id:"next-run"},c("b",null,"Next run"),a)),c("div",{class:"chi\
ps"},l))}var vt=t=>t?.replace("alpha","α").replace("sqrt(r)","√r");function Os(t){let e=new Map;for(let n of t)e.set(
n,(e.get(n)??0)+1);let s=[...e].sort((n,r)=>r[1]-n[1]).map(([n])=>n);return s.length>1?`${N(s[0])}…`:N(s[0])}function fe(t,e,s=[]){
let n=null,r=o=>s.some(([a,l])=>a<=t.last[o]&&t.first[o]<=l);for(let o=0;o<(t?.columns??0)&&t.first[o]<=e;o++)for(let a=0;a<
t.n&&!r(o);a++){let l=t.high[o*t.n+a];Number.isFinite(l)&&(n==null||l>n)&&(n=l)}return n}var q=(t,e,s,n,r)=>c("div",{class:"\
tile"},c("span",{class:"name"},O(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function Ss(t,e,s,n){
let{loss:r,rates:o,overhead:a,first20:l}=e,{schema:i,adapters:h,step:d}=t,f=lt(e,d),p=s?.at(d,1),y=a?.at(d),m=i.max_steps,
g=m?Math.min(1,d/m):null,u=h[0]?.scale_formula,x=n.metric==="output_ratio"?["Depth-scaled output ratio","depth-scaled ou\
tput ratio"]:["σ₁ relative to W₀ × depth",n.metric],$=["r","alpha","scale"].map(A=>Os(h.map(_=>_[A]))).join(" / ");
return[q("Step","step",[String(d),m&&c("small",null,` / ${m}`)],g==null?null:`${T(g)} of the schedule`,g!=null&&c("i",{class:"\
progress",style:`--share:${g}`})),q("Loss","loss",N(r?.at(d)),Number.isFinite(f)?`gain ${T(f)}, mean of five`:null),q(...x,
N(p==null?null:n.depth*p),p==null?"not measured":`${N(p)} × depth ${N(n.depth)}`),q("s · lr, peak","effective_lr",N(fe(
o,d,j(t.alerts))),me(i)),q("r / α / s","scale",h.length?$:"–",u?`s = ${vt(u)}`:"no adapters"),q("Adapters","adapters",
String(h.length),i.config?.model_type??i.optimizer),q("Overhead","overhead",y==null||!t.lastStep?"–":T(y,1),t.lastStep?
d>Q&&l?.last?.[l.columnOf(Q)]===Q?`of the time; first ${Q} steps: ${T(l.at(Q),1)}`:"of the wall time so far":n.missing)]}
function me({config:t,peak_lr:e}){let{rate:s,low:n,high:r}=t?.find_lr??{},o=n!=null&&r!=null?` (${N(n)} to ${N(r)})`:"";
return s!=null&&s===t?.learning_rate?`lr ${N(s)}, found by a sweep${o}`:e?.length?`peak lr ${N(Math.max(...e))}`:null}var wt=({
rules:t})=>t?.length?`No alert: ${t.length} rules watch this run.`:"No alert in this run.";function Is(t){if(!t.alerts.length)
return c("p",{class:"none"},`✓ ${wt(t.schema)}`);let e=s=>c("button",{class:"row",onclick:()=>t.openAlert(s,"alerts")},
L(s.severity),c("b",null,R(s.name)),c("span",{class:"note"},`step ${s.step}`),c("span",{class:"clip"},s.message));return c(
"ol",{class:"alert-list"},gt(t.alerts).slice(0,6).map(s=>c("li",null,e(s))))}function Es(t,e){if(!e?.columns)return c("p",
{class:"none"},"Not measured up to this step.");let s=t.adapters.map(a=>({adapter:a,value:e.high[a.index]})).filter(({value:a})=>a>
0).sort((a,l)=>l.value-a.value);if(!s.length)return c("p",{class:"none"},"Nothing is above zero at this step.");let n=Math.
log10(s[0].value),r=Math.min(n-1,Math.log10(s[s.length-1].value)),o=({adapter:a,value:l})=>c("button",{class:"row",title:a.
name,onclick:()=>t.set({view:"layer",adapter:a.name})},c("span",{class:"clip"},a.short),c("i",{style:`--share:${(Math.log10(
l)-r)/(n-r)}`}),c("b",null,N(l)));return c("ol",{class:"bars"},s.slice(0,9).map(a=>c("li",null,o(a))))}var Ct={};tt(Ct,{draw:()=>Ls,title:()=>Ws});var Ws="Compare",Rs=/^(learning_rate|parameters|find_lr\..*|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function pe(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[n,r]of Object.entries(t))pe(r,e?`${e}.${n}`:
n,s);else s[e]=ge(t);return s}function ge(t){return Array.isArray(t)?t.map(String).join(", "):typeof t=="number"&&!Number.
isInteger(t)?N(t):String(t??"–")}async function Ls(t){let e=await Promise.all(t.runNames.map(n=>Bs(t,n))),s=[...Cs,...Ts(
e)];return c("div",{class:"compare"},F(`${e.length} run${e.length===1?"":"s"}`,"with every setting that differs",c("div",
{class:"scroll",tabindex:0,role:"region","aria-label":"runs"},c("table",{class:"grid sets",id:"runs"},c("thead",null,c("\
tr",null,c("th",null,"Run"),...s.map(([n])=>c("th",null,O(n))))),c("tbody",null,e.map(n=>Fs(t,n,s)))))))}function Fs(t,e,s){
let n={class:"open",onclick:()=>t.openRun(e.name,"overview")};return c("tr",{class:e.name===t.state.run?"chosen":null},c(
"th",{scope:"row"},c("button",n,e.name)),s.map(([,r])=>c("td",null,[r(e)].flat())))}var Cs=[["verdict",({says:t})=>[t.kind===
"ok"?"✓":L(t.kind.toUpperCase(),11)," ",t.head]],["end",({end:t})=>t?st(t.word,t.text,{class:`badge ${t.kind}`}):"–"],
["steps",({step:t,schema:e})=>`${t}${e.max_steps?` / ${e.max_steps}`:""}`],["r",({schema:t})=>Ft(t,"r")],["alpha",({schema:t})=>Ft(
t,"alpha")],["scale",({schema:t})=>Ft(t,"scale")],["lr",({schema:t})=>[...new Set(t.peak_lr??[])].map(e=>N(e)).join(", ")||
"–"],["loss, mean of five",({last:t})=>{if(!Number.isFinite(t.loss?.at(1/0)??0))return"NaN";let e=lt(t,1/0);return[N(t.
loss_recent?.at(1/0)),Number.isFinite(e)&&c("small",null,` gain ${T(e)}`)]}],["depth-scaled output ratio",({ratio:t})=>N(
t)],["alerts",({alerts:t})=>B.map(e=>[e,t.filter(s=>s.severity===e).length]).filter(([,e])=>e).map(([e,s])=>c("span",{class:"\
tally"},L(e,11),s))]],Ft=({adapters:t},e)=>[...new Set(t.map(s=>ge(s[e])))].join(", ")||"–";function Ts(t){return[...new Set(
t.flatMap(({settings:s})=>Object.keys(s)))].filter(s=>!Rs.test(s)).filter(s=>new Set(t.map(({settings:n})=>n[s])).size>1).
map(s=>[s,({settings:n})=>n[s]??"–"])}async function Bs(t,e){let{step:s,metrics:n}=t.runs[e],r=Wt.find(p=>n.includes(p)),
[o,{alerts:a},l,i,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.data.verdict(e),t.seriesOf(["loss","loss_sta\
rt","loss_recent","zone"],{at:s},e),r?t.spread(r,{at:s},e):null]),d=h?.at(1/0,1),f=yt(a[l.first],at(o,i.zone,1/0),null,xt(
a,1/0),bt(a));return{name:e,step:s,schema:o,alerts:a,last:i,says:f,end:P(l,t.runs[e]),ratio:d==null?null:It(o)*d,settings:pe(
{...o.config,optimizer:o.optimizer,versions:o.versions??{}})}}var Ut={};tt(Ut,{draw:()=>qs,title:()=>Ks});var Y=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],we=Uint32Array.
from({length:256},(t,e)=>{let s=e/255*(Y.length-1),n=Math.min(Y.length-2,Math.floor(s)),r=s-n,[o,a,l]=[0,1,2].map(i=>Math.
round(Y[n][i]+(Y[n+1][i]-Y[n][i])*r));return(255<<24|l<<16|a<<8|o)>>>0}),ye=`linear-gradient(90deg,${Y.map(t=>`rgb(${t})`).
join(",")})`;var be="#ff00a8";function $e(t,e,s,n,r,o,a){let{columns:l,n:i}=s,h=t.width,d=new ImageData(h,i),f=new Uint32Array(d.data.
buffer),p=Array.from({length:l+1},(_,v)=>Math.round(s.place(v)*h));r.forEach(({adapter:_},v)=>{for(let M=0;M<l;M++){let k=n.
cells[M*i+_.index];Number.isNaN(k)||f.fill(we[Math.max(0,Math.min(255,k*255|0))],v*h+p[M],v*h+p[M+1])}});let y=new OffscreenCanvas(
h,i);Tt(y).putImageData(d,0,0);let m=Tt(t);m.imageSmoothingEnabled=!1,m.scale(a,a);let g=h/a,u=_=>s.place(_)*g,x=0;for(let _=1;_<=
r.length;_++)_<r.length&&r[_].y===r[_-1].y+o||(m.drawImage(y,0,x,h,_-x,0,r[x].y,g,(_-x)*o),x=_);let $=m.createPattern(ve(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:_,y:v})=>{xe(s,_.index,4,(M,k)=>{
m.fillStyle=$,m.fillRect(u(M),v,u(k)-u(M),o)})});let A=m.createPattern(ve(null,"#fff",8),"repeat");r.forEach(({adapter:_,
y:v})=>{xe(s,_.index,3,(M,k)=>{let S=u(k)-u(M),I=Math.round(Math.max(7,S)),D=Math.max(7,o),G=Math.round(Math.max(0,Math.
min(g-I,(u(M)+u(k))/2-I/2))),K=Math.round(v+o/2-D/2),X=o<7||S<7;m.fillStyle="#fff",X&&m.fillRect(G-1.5,K-1.5,I+3,D+3);for(m.
fillStyle of X?[be]:[be,A])m.fillRect(G,K,I,D)})})}var Tt=t=>t.getContext("2d");function xe(t,e,s,n){let r=-1;for(let o=0;o<=
t.columns;o++){let a=o<t.columns&&t.flags[o*t.n+e]&s;a&&r<0&&(r=o),!a&&r>=0&&(n(r,o),r=-1)}}function ve(t,e,s){let n=new OffscreenCanvas(
s,s),r=Tt(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let o of[-s,0,s])r.moveTo(o,s),r.lineTo(
o+s,0);return r.stroke(),n}function zt(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function Ne(t){let e=t.map(({name:r,layer:o})=>[r.slice(r.lastIndexOf(".")+
1),r.slice(r.indexOf(`.${o}.`)+1).replace(`${o}.`,""),r.replace(`.${o}.`,".")]),s=(r,o,a)=>JSON.stringify([r,o,a]),n=new Map;
for(let[r,{layer:o}]of t.entries())for(let[a,l]of e[r].entries())n.set(s(o,l,a),(n.get(s(o,l,a))??0)+1);return t.map((r,o)=>{
let{name:a,layer:l}=r,i=e[o].find((h,d)=>n.get(s(l,h,d))===1)??a;return{...r,index:o,type:i,short:l==null?a:`${l} · ${zt(
i,18)}`}})}function _e(t){let e=new Map;for(let s of t)e.has(s.type)||e.set(s.type,[]),e.get(s.type).push(s);return[...e].map(([s,n])=>({
name:s,adapters:n}))}function Me({high:t}){let e=Float32Array.from(t,Math.log2),s=[],n=-1/0,r=Math.max(1,Math.floor(e.length/
2e4))|1;e.forEach((a,l)=>{Number.isFinite(a)&&(n=Math.max(n,a),l%r===0&&s.push(a))}),s.sort((a,l)=>a-l),n===-1/0&&(n=0);
let o=Math.min(s[Math.floor(.01*s.length)]??0,n-1e-6);return{cells:e.map(a=>(a-o)/(n-o)),ends:[`≤ ${N(2**o)}`,"log",N(
2**n)]}}var ke=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),$t=t=>b(108+6*(ke(t)-11));function Ae(t,e,s,n){
let r=zs(t,e),{rows:o,size:a,height:l}=r,i=Math.max(1,Math.min(3,devicePixelRatio||1)),h=c("canvas",{id:"heat",width:Math.
round(n*i),height:Math.round(l*i),role:"img",style:`width:${n}px;height:${l}px`,"aria-label":`${t.state.metric} of ${e.n}\
 adapters at ${e.columns} columns of steps`});$e(h,t,e,s,o,a,i);let d=js(t,e,r,n);return Us(h,t,e,o,d,n),c("div",{class:"\
plot",style:`grid-template-columns:${$t(t)-4}px ${n}px`},c("span",{class:"strip-name"},"alerts"),Hs(t,e,n),Ds(t,e,r),c("\
div",{class:"stage",style:`width:${n}px;height:${l}px`},h,d.overlay),c("span",{class:"strip-name"},"step"),Gs(e,n))}function zs(t,{
n:e}){let s=_e(t.adapters),n=Math.max(300,innerHeight-b(232)),r=s.length<=40?3:e+s.length<=n?1:0,o=Math.max(1,Math.min(b(
30),Math.floor((n-r*s.length)/e))),a=[],l=[],i=0;for(let h of s){let d=i;for(let f of h.adapters)a.push({adapter:f,y:i}),
i+=o;l.push({name:h.name,y:(d+i)/2}),i+=r}return{rows:a,labels:l,size:o,height:i-r}}function js(t,e,{rows:s,size:n,height:r},o){
let a=u=>e.place(u)*o,l=u=>Math.max(1.5,a(u+1)-a(u)),i=w("svg",{class:"overlay",width:o,height:r}),h=e.columnOf(t.step);
t.step>=e.first[0]&&i.append(w("rect",{class:"at",x:a(h)-.5,y:0,width:l(h)+1,height:r}));let d=t.state.adapter&&s.find(u=>u.
adapter.name===t.state.adapter);d&&i.append(w("rect",{class:"at",x:.5,y:d.y-.5,width:o-1,height:n+1}));let f=w("rect",{class:"\
cross",height:n+2,width:o}),p=w("rect",{class:"cross",height:r}),y=w("rect",{class:"select",y:0,height:r});return i.append(
f,p,y),{overlay:i,band:y,point:(u,x)=>{f.setAttribute("y",u.y-1),p.setAttribute("x",a(x)),p.setAttribute("width",l(x)),f.
style.display=p.style.display="block"},leave:()=>{f.style.display=p.style.display="none"}}}function Us(t,e,s,n,{band:r,point:o,
leave:a},l){let i=d=>s.columnOf(s.stepAt(d/l)),h=d=>n.findLast(({y:f})=>f<=d.clientY-t.getBoundingClientRect().top);ft(t,
r,{hover:(d,f)=>{let p=h(d);p&&(o(p,i(f)),E.show(d,...Ps(s,i(f),p.adapter)))},leave:a,zoom:(d,f)=>e.set({from:s.first[i(
d)],to:s.last[i(f)]}),choose:(d,f)=>{let p=h(d)?.adapter.name,y=s.last[i(f)];p&&e.set({view:"layer",adapter:p,step:y>=e.
lastStep?"":y})}})}function Ps(t,e,{name:s,index:n}){let r=t.flags[e*t.n+n];return[c("b",null,s),`${t.steps(e)}: ${t.say(
e,n,N)||"–"}`,r&3?c("strong",null,rt(r)):null]}function Ds(t,{n:e},{rows:s,labels:n,size:r,height:o}){let a=$t(t),l=w(
"svg",{class:"gutter",width:a-6,height:o}),i=r>=b(11)&&n.length<e,h=-99;for(let d of n)d.y-h<b(12)||(h=d.y,l.append(w("t\
ext",{x:i?a-b(36):a-12,y:d.y+b(4),"text-anchor":"end",class:"group"},zt(d.name,ke(t)+(i?0:4)),w("title",null,d.name))));
for(let{adapter:d,y:f}of i?s:[])l.append(w("text",{x:a-12,y:f+r/2+b(4),"text-anchor":"end",class:"item"},d.layer??""));return l}
function Hs(t,e,s){let r=w("svg",{class:"strip",width:s,height:20});for(let o of t.alerts){if(o.step<e.first[0]||o.step>
e.end)continue;let a=e.columnOf(o.step),l=(e.place(a)+e.place(a+1))/2*s;r.append(w("g",{class:`mark severity ${W(o.severity)}`,
transform:`translate(${Math.max(7,l)},8)`,"aria-label":`${o.name} at step ${o.step}`,...ut(()=>t.openAlert(o)),onpointermove:i=>E.
show(i,c("b",null,R(o.name)),`step ${o.step}`,o.message),onpointerleave:()=>E.hide()},w("path",{d:"M0 6V20",class:"stem"}),
w("path",{d:et(o.severity)})))}return r}function Gs(t,e){let s=w("svg",{class:"axis",width:e,height:b(18)}),n=r=>(r-t.first[0]+
.5)/(t.stepAt(1)-t.first[0]+1)*e;for(let r of V(t.first[0],t.end,e/b(70)).filter(Number.isInteger)){let o=n(r);s.append(
w("text",{x:o,y:b(14),"text-anchor":o<12?"start":o>e-14?"end":"middle"},r))}return s}var Ks="Heatmap",Vs=12,jt=()=>b(268);async function qs(t){let{state:e,adapters:s}=t;if(!s.length||!e.metric)return c("p",
{class:"empty-page"},"This run has no adapters.");let n=Zs(t),r=t.width>3*jt(),o=t.width-(r?jt()+16:0)-28,a=o-$t(t)-4,l=await t.
metric(e.metric,t.window(Math.max(50,Math.floor(a/50)*50)));if(t.notes=[...new Set([...t.notes,...l.notes])],!l.columns)
return c("div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen range."));l.until=Math.min(t.
lastStep,e.to===""?1/0:Number(e.to));let i=Me(l);return c("div",{class:"heat"},n,c("div",{class:"columns",style:`grid-te\
mplate-columns:minmax(0,1fr)${r?` ${jt()}px`:""}`},c("section",{class:"card"},Js(l,i),Ae(t,l,i,a)),c("section",{class:"c\
ard side"},c("header",null,c("h2",null,O(`Stand out at ${l.steps(l.columnOf(t.step))}`,"Stand out"))),Qs(t,l))))}var Zs=t=>c(
"div",{class:"toolbar"},c("span",{class:"pick"},O("Metric",t.state.metric),c("select",{id:"metric","aria-label":"metric",
onchange:e=>t.set({metric:e.target.value})},t.run.metrics.map(e=>c("option",{value:e,selected:e===t.state.metric},e)))),
c("span",{class:"note"},"drag to zoom, click for the adapter, arrow keys for the steps and adapters"));function Js(t,{ends:e}){
return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`background:${ye}`}),c("span",null,e.map(s=>c("span",
null,s)))),c("span",{class:"key"},c("i",{class:"nan"}),"NaN or Inf"),c("span",{class:"key"},c("i",{class:"hatched"}),"no\
t measured"),c("span",{class:"grow"}),c("span",{class:"note"},t.pooled?`${t.rows} steps in ${t.columns} columns; extreme\
s and NaN kept`:`${t.rows} ${t.rows===1?"step was":"steps were"} read`))}function Qs(t,e){if(t.step<e.first[0])return c(
"p",{class:"none"},"Nothing was measured up to this step.");let s=e.columnOf(t.step)*e.n,n=t.adapters.map(i=>({adapter:i,
value:e.high[s+i.index],flags:e.flags[s+i.index]})).filter(({flags:i})=>!(i&4)).map(i=>({...i,broken:i.flags&3}));if(!n.
some(({broken:i,value:h})=>i||h!==0))return c("p",{class:"none"},n.length?"Nothing is above zero at this step.":"Not mea\
sured at this step.");let r=n.filter(({broken:i})=>!i).sort((i,h)=>i.value-h.value),o=r[r.length>>1]?.value,a=({broken:i,
value:h})=>i?1/0:Math.abs(Math.log2(h/o)),l=({adapter:i,value:h,broken:d})=>c("button",{class:"row",title:i.name,onclick:()=>t.
set({view:"layer",adapter:i.name})},c("span",{class:"clip"},i.short),c("b",null,d?rt(d):N(h)),c("small",null,d?"":Ys(h/o)));
return n.sort((i,h)=>a(h)-a(i)||h.value-i.value),c("ol",{class:"standout"},n.slice(0,Vs).map(i=>c("li",null,l(i))))}var Ys=t=>t<
1?`÷ ${N(1/t)}`:`× ${N(t)}`;var Pt={};tt(Pt,{draw:()=>tn,title:()=>Xs});var Xs="Layer",Oe=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"],["drift_norm","drift_norm","2 3"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",
[["output_ratio","output_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],[
"relative_spectral_norm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],
["Ranks in use","of r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius nor\
ms",[["a_norm","A"],["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","\
B"]],!0],["Product","‖B·A‖, without the scale",[["product_norm","product_norm"]],!0],["Update in one step","‖ΔW now\
 − ΔW before‖",[["step_norm","step_norm"]],!0],["Updates that arrived","share of 64 numbers that changed",[["a_chan\
ged","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ / ‖W₀‖, 0 where it rests",[["base_drift","base_d\
rift"]],!0],["s · lr","scale × learning rate",[["effective_lr","effective_lr"]],!1],["Scale s","the live factor",[["sc\
ale","scale"]],!1]];async function tn(t){let{adapter:e,run:s,state:n}=t;if(!e)return c("p",{class:"empty-page"},"This ru\
n has no adapters.");let r=t.width>b(1260)?4:3,o=U(t.width,Array(r).fill(1)),a=o.widths[0],l=new Set(Oe.flatMap(([,,m])=>m.
map(([g])=>g))),i=[...Oe,...s.metrics.filter(m=>!l.has(m)).map(m=>[R(m),null,[[m,m]],!0])].map(([m,g,u,x])=>({name:m,note:g,
log:x,several:u.length>1,metrics:u.filter(([$])=>s.metrics.includes($))})).filter(({metrics:m})=>m.length),h=i.flatMap(({
metrics:m})=>m.map(([g])=>g)),d={max_cols:400,adapter:e.index,from:n.from,to:n.to},f={...d,from:n.from||1},p=Object.fromEntries(
await Promise.all(h.map(async m=>[m,await t.metric(m,m==="effective_lr"?f:d)]))),y=t.alerts.filter(m=>m.adapters?.some(({
name:g})=>g===e.name));return c("div",{class:"layer"},en(t,y),c("div",{class:"columns",style:o.style},i.map(({name:m,note:g,
metrics:u,log:x,several:$})=>{let A=u.map(([v,M,k],S)=>({name:M,matrix:p[v],colour:k?"var(--soft)":`var(--c${S+1})`,dash:k})),
_=A.length>1||$;return H(m,g,A,{legend:_,term:u[0][0],width:a-26,height:b(150)+(_?0:b(21)),log:x||u[0][0]==="effective_l\
r"&&j(t.alerts).length>0,range:t.range(),step:t.step,onStep:t.setStep,onZoom:t.zoom,discarded:j(t.alerts),alerts:y.filter(
v=>u.some(([M])=>M===v.metric)),onAlert:v=>t.openAlert(v,"alerts")})})))}function en(t,e){let{adapter:s,adapters:n,schema:r,
moveAdapter:o}=t,a=r.peak_lr?.[s.group??-1],l=(i,h,d)=>h!=null&&c("div",null,c("dt",null,i),c("dd",null,h,d&&c("small",null,
` ${d}`)));return c("section",{class:"card layer-head"},c("div",{class:"title"},c("button",{id:"before",class:"quiet",title:"\
adapter before (↑)",onclick:()=>o(-1)},"‹"),c("select",{id:"adapter","aria-label":"adapter",title:s.name,onchange:i=>t.
set({adapter:i.target.value})},n.map(i=>c("option",{value:i.name,selected:i===s},i.name))),c("button",{id:"after",class:"\
quiet",title:"adapter after (↓)",onclick:()=>o(1)},"›"),c("span",{class:"note"},`${s.index+1} of ${n.length}`),c("sp\
an",{class:"grow"}),e.length?e.map(i=>c("button",{class:"chip",onclick:()=>t.openAlert(i,"alerts"),title:i.message},L(i.
severity,11),`${R(i.name)}, step ${i.step}`)):c("span",{class:"note"},"✓ no alert names this adapter")),c("dl",{class:"\
facts"},l(O("Kind"),s.kind),s.d_out!=null&&l(O("W₀"),`${s.d_out} × ${s.d_in}`),(s.r??0)>0&&l(O("B · A"),`${s.d_out} \
× ${s.r} · ${s.r} × ${s.d_in}`),l(O("r","r"),s.r||null),l(O("α","alpha"),s.alpha==null?null:N(s.alpha)),l(O("s","sca\
le"),s.scale==null?null:N(s.scale),vt(s.scale_formula)),l(O("Group","group"),s.group==null?"in no optimizer group":String(
s.group),a!=null?`lr ≤ ${N(a)}`:null),l(O("Trainable"),s.trainable?.toLocaleString("en")),l(O("‖W₀‖","base_norm"),
s.base_norm==null?"unknown":N(Number(s.base_norm))),l(O("σ₁(W₀)","base_spectral_norm"),s.base_spectral_norm==null?"\
unknown":N(Number(s.base_spectral_norm)))))}var Z={overview:Lt,heatmap:Ut,layer:Pt,alerts:Ot,compare:Ct};function Dt(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(t.heading,c("nav",{"aria-lab\
el":"views"},sn(t)),on(t),nn(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.
step==="",onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all ste\
ps (Esc)",onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?rn(t):""),e&&document.
getElementById(e)?.focus({preventScroll:!0})}function sn(t){let e=B.find(s=>t.alerts.some(n=>n.severity===s));return Object.
entries(Z).map(([s,n])=>c("button",{id:`tab-${s}`,"aria-current":s===t.state.view&&"page",onclick:()=>t.set({view:s})},n.
title,s==="alerts"&&t.alerts.length?c("span",{class:`count ${W(e)}`},t.alerts.length):null))}var nn=t=>c("label",{class:"\
pick scrub"},"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.
setStep(Number(e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"st\
ep"},t.step)),rn=t=>c("button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-lab\
el":t.newer?null:"refresh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function on(t){let e=s=>{let n=P(t.runs[s],
t.runs[s]);return c("option",{value:s,selected:s===t.state.run},n?`${s} (${n.word})`:s)};return c("label",{class:"pick"},
"Run",c("select",{id:"run",onchange:({target:s})=>t.openRun(s.value)},t.runNames.map(e)))}var Nt=class{#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){return this.#e(
"runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}alerts(e){return this.#e("aler\
ts",{run:e})}verdict(e,s){return this.#e("verdict",{run:e,step:s})}metric(e,s,n){return this.#e("metric",{run:e,metric:s,
...n})}spread(e,s,n){return this.#e("spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e("scalars",{run:e,name:s,
...n})}async#e(e,s){let n=Object.entries(s).filter(([,l])=>l!=null&&l!=="").map(([l,i])=>[l,String(i)]),r=`${e}?${new URLSearchParams(
n)}`;if(this.#t.has(r)){let l=this.#t.get(r);return this.#t.delete(r),this.#t.set(r,l),l}let o=this.#r,a=this.#n(e,n);this.#t.
set(r,a);try{let l=await a;return this.#s.set(a,l.bytes??0),o===this.#r&&this.#o(),l}catch(l){throw this.#t.get(r)===a&&
this.#t.delete(r),l}}#o(){let e=n=>this.#s.get(n)??0,s=0;for(let n of this.#t.values())s+=e(n);for(let[n,r]of this.#t){if(s<=
104857600)break;s-=e(r),this.#t.delete(n)}}};var Ht="lora_watch",ct=`p.${Ht}.`,Gt=!1;function Se(){Gt=!0}function Kt(){if(Gt)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function Ie(t){let{port1:e,port2:s}=new MessageChannel;e.onmessage=({data:n})=>{
let r=JSON.parse(n);r.isReply||(r.type==="experimental.DataReloaded"&&t(),e.postMessage(JSON.stringify({type:r.type,id:r.
id,payload:null,error:null,isReply:!0})))},window.parent.postMessage("experimental.bootstrap","*",[s])}function Ee(t){let e=()=>{
let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener("change",()=>t(s.matches)),t(s.matches)};if(Gt)return e();
try{let s=window.parent.document.body,n=()=>t(s.classList.contains("dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,
attributeFilter:["class"]}),n()}catch{e()}}var _t=()=>Kt().location.hash.replace(/^#/,"").split("&"),We=()=>["",Ht].includes(
_t()[0]);function Vt(){let t={};for(let e of _t()){if(!e.startsWith(ct))continue;let[s,n=""]=e.slice(ct.length).split("=");
try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}return t}function Re(t,e){if(!We())return;let s=_t().filter((o,a)=>a>
0&&o&&!o.startsWith(ct)),n=Object.entries(t).filter(([,o])=>o!==""&&o!=null).map(([o,a])=>`${ct}${o}=${encodeURIComponent(
a)}`),{history:r}=Kt();try{r[e?"pushState":"replaceState"](r.state,"",`#${[Ht,...n,...s].join("&")}`)}catch{}}function Le(t){
let e=Kt(),s=()=>{We()&&_t().some(n=>n.startsWith(ct))&&t(Vt())};e.addEventListener("hashchange",s),window.addEventListener(
"pagehide",()=>e.removeEventListener("hashchange",s))}function Ce(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||e.target.matches?.("select")||e.target.id==="scrub"&&e.key.
startsWith("Arrow"))return;let s=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,n=["layer","heatmap"].includes(t.state.
view),r={ArrowLeft:()=>t.setStep(t.step-s),ArrowRight:()=>t.setStep(t.step+s),ArrowUp:n&&(()=>t.moveAdapter(-1)),ArrowDown:n&&
(()=>t.moveAdapter(1)),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""})}[e.key];r&&(e.preventDefault(),r())}var qt={view:"overview",run:"",metric:"",adapter:"",step:"",from:"",to:"",alert:""},an=["output_ratio","relative_spectra\
l_norm","relative_norm","delta_norm"],ln=5e3;function cn(t,e,s){let n=Object.keys(e).filter(l=>!(l in t)),r=n.length?`${n.
length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&!Object.keys(t).length)return{words:r,isHere:!0};let[o,a]=[
t[s],e[s]];return o&&a&&a.step!==o.step?{words:`now at step ${a.step}`,isHere:!0}:o&&a&&a.wall_time!==o.wall_time?{words:"\
more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var Mt=class{constructor(e,s,n=!0){this.data=new Nt(s),this.live=
n,this.state={...qt},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),this.heading=c("h1",{class:"\
unseen"}),this.bar.tabIndex=-1,e.append(this.bar,this.main),this.bar.focus({preventScroll:!0}),document.documentElement.
lang="en",this.drawing=0,this.runs={},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},
this.ending={verdict:null,message:null,first:null},this.alerts=[],this.adapters=[],this.notes=[]}async start(){Ee(n=>{this.
dark=n,document.documentElement.classList.toggle("dark",n),this.shown&&this.draw()}),this.#s(Vt()),Le(n=>{this.wanted=null,
this.#s(n),this.draw()}),this.live&&Ie(()=>this.refresh()),addEventListener("keydown",n=>Ce(this,n));let e=innerWidth,s;
addEventListener("resize",()=>{clearTimeout(s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},
80)}),addEventListener("pointerdown",()=>{this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&
setInterval(()=>this.#n(),ln),await this.refresh()}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.
hidden||!innerWidth||!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);
if(e!==this.state.run)return;let n=cn(this.runs,s,this.wanted?.run??e);if(n?.isHere&&this.#t&&!this.pressed)return this.
refresh();!this.pressed&&P(this.ending,this.run)?.word!==this.endWord&&await this.draw(),n?.words!==this.newer&&(this.newer=
n?.words,Dt(this))}get#t(){let{step:e,to:s}=this.state;return s===""&&(e===""||Number(e)>this.lastStep)}set(e){let{view:s,
run:n}=this.state;return this.wanted=null,this.#s({...this.state,...e}),this.navigated||=this.state.view!==s||this.state.
run!==n,this.draw()}#s(e){this.state=Object.fromEntries(Object.entries(qt).map(([s,n])=>[s,String(e[s]??n)])),this.state.
view in Z||(this.state.view="overview")}async draw(){let e=++this.drawing,{view:s,run:n}=this.state;this.loading=!0,document.
body.setAttribute("aria-busy","true");let r=setTimeout(()=>{e===this.drawing&&this.shown&&(this.shown!==s||this.shownRun!==
n)&&this.#c(s)},150);try{if(this.runs=await this.data.runs(),!Object.keys(this.runs).length)return this.#i(e,c("p",{class:"\
empty-page"},"No run here holds LoRA data yet. Add LoraWatchCallback() to the Trainer."));this.#r();let o=await this.#e();
if(e!==this.drawing)return;await this.#o(o),Dt(this),this.#l();let a=await Z[this.state.view].draw(this);this.#i(e,a)}catch(o){
this.#i(e,c("div",{class:"empty-page",role:"alert"},c("p",null,`This view could not be drawn: ${o.message}`),c("button",
{id:"again",class:"quiet",onclick:()=>this.refresh()},"Try again")))}finally{clearTimeout(r)}}#r(){if(this.wanted&&this.
wanted.run in this.runs&&([this.state,this.wanted]=[this.wanted,null]),this.state.run in this.runs)return;this.state.run&&
(this.wanted??=this.state);let e=({verdict:n,wall_time:r})=>[this.live?0:Rt(n),r],s=(n,r)=>e(n)[0]-e(r)[0]||e(n)[1]-e(r)[1];
this.#s({...this.wanted?{view:this.state.view}:this.state,run:Object.keys(this.runs).reduce((n,r)=>s(this.runs[r],this.runs[n])>
0?r:n)})}async#e(){let e=this.state.run,[s,n,r]=await Promise.all([this.data.schema(e),this.data.alerts(e),this.data.verdict(
e)]);return{schema:s,found:n,ending:r}}async#o({schema:e,found:s,ending:n}){this.schema=e,this.ending=n,this.alerts=s.alerts,
this.notes=[...e.notes,...s.notes],this.run=this.runs[this.state.run],this.adapters=await this.#h(e),this.missing=this.#a();
let r=this.run.metrics;r.includes(this.state.metric)||(this.state.metric=an.find(o=>r.includes(o))??r[0]??""),this.endWord=
P(n,this.run)?.word,this.newer=void 0}#a(){let{adapter:e}=this.state;return this.wanted?`There is no run “${this.wanted.
run}” here, or TensorBoard has not read it yet. This is the latest one.`:e&&!this.adapters.some(({name:s})=>s===e)?`Th\
is run has no adapter “${e}”.`:this.adapters.length?null:"This run has no adapters: nothing but its loss and rates i\
s known."}#l(){this.wanted||Re(Object.fromEntries(Object.entries(this.state).filter(([e,s])=>s!==qt[e])),this.navigated),
this.navigated=!1}#c(e){let s=e==="compare"?` and ${Object.keys(this.runs??{}).length} runs`:"";this.main.replaceChildren(
c("div",{class:"empty-page",role:"status",id:"loading"},`Reading ${Z[e].title.toLowerCase()}${s} …`,c("progress")))}#i(e,s){
if(e!==this.drawing)return;let n=document.activeElement?.id,r=this.main.scrollTop;E.hide();let o=nt("notes",[this.missing??
[]].flat());this.main.replaceChildren(...c("div",null,o,s,nt("notes",this.notes??[])).childNodes),n&&document.activeElement?.
id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),document.activeElement===document.body&&this.main.focus({preventScroll:!0}),
this.main.scrollTop=this.shown===this.state.view?r:0,this.heading.textContent=document.title=`LoRA: ${Z[this.state.view].
title}, ${this.state.run}`,this.shown=this.state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute(
"aria-busy"),document.body.dataset.ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#h(e){
let s=e.adapters;if(!s.length&&this.run.metrics.length){let{n}=await this.data.metric(this.state.run,this.run.metrics[0],
{max_cols:1});s=Array.from({length:n},(r,o)=>({name:`adapter ${o}`}))}return Ne(s)}get lastStep(){return this.run.step}get runNames(){
return Object.keys(this.runs).sort((e,s)=>e.localeCompare(s,void 0,{numeric:!0}))}get step(){let e=Number(this.state.step);
return this.state.step===""||!(e>=0&&e<this.lastStep)?this.lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){
return this.adapters.find(e=>e.name===this.state.adapter)??this.#d??this.adapters[0]}get#d(){let e=this.alerts[this.ending.
first??-1]?.adapters?.[0]?.name;return this.adapters.find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(
this.main);return Math.max(280,this.main.clientWidth-parseFloat(e)-parseFloat(s))}metric(e,s){return this.data.metric(this.
state.run,e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.data.spread(n,e,s):null}async series(e,s,n=this.
state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.
all(e.map(o=>this.series(o,s,n)));return Object.fromEntries(e.map((o,a)=>[o,r[a]]))}window(e){return{max_cols:e,from:this.
state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(
1,e):Number(n)]}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.
set({step:s>=this.lastStep?"":Math.max(0,s)})};moveAdapter=e=>{let s=this.adapters.length;return s&&this.set({adapter:this.
adapters[(this.adapter.index+e+s)%s].name})};openRun=(e,s=this.state.view)=>this.set({view:s,run:e,adapter:"",step:"",from:"",
to:"",alert:""});openAlert=(e,s=this.state.view)=>this.set({view:s,step:e.step,alert:`${e.rule}@${e.step}`,adapter:e.adapters?.[0]?.
name??this.state.adapter,metric:this.run.metrics.includes(e.metric)?e.metric:this.state.metric,from:"",to:""})};async function Te(t){let e=Uint8Array.from(atob(t.trim()),h=>h.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(new DecompressionStream(
"deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:o,tables:a}=JSON.parse(new TextDecoder().
decode(new Uint8Array(n,4,r))),l=new Map,i=h=>{let[d,f]=a[h];return l.has(h)||l.set(h,J.parse(n.slice(4+r+d,4+r+d+f))),l.
get(h)};return async(h,d)=>{let{run:f="",metric:p,name:y,at:m,...g}=Object.fromEntries(d),u=Object.fromEntries(Object.entries(
g).map(([A,_])=>[A,Number(_)])),x=JSON.stringify([h,f,p??y??""]),$=JSON.stringify([`${h} at`,f,p??y??""]);if(m&&$ in a)return i(
$);if(x in a)return i(x).window(u);if(!(x in o))throw new Error(`The report does not hold ${p??y??h}.`);return h==="verd\
ict"?hn(o[x],u.step??1/0):o[x]}}var hn=({first:t,...e},s)=>({...e,first:t.findLast(([n])=>n<=s)?.[1]??null});Se();var dn=document.getElementById("answers");Te(dn?.textContent??"").then(t=>new Mt(document.body,t,!1).start());
